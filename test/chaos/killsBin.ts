/**
 * The long form of `Kills.ts`: `npm run -s chaos:resume -- --kills 200 --save`.
 */
import { Redacted } from "effect"
import * as Kills from "./Kills.ts"
import { runMain } from "./longForm.ts"

runMain({
  name: "resume",
  about: "Kill runs at any moment, go on with --resume, and see that nothing is lost or written twice",
  turns: { flag: "kills", about: "How many runs are killed" },
  run: ({ server, url }, { seed, turns }) => Kills.run({ url: Redacted.value(url), server }, { kills: turns, seed })
})
