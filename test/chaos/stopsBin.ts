/**
 * The long form of `Stops.ts`: `npm run -s chaos:stop -- --rounds 200 --save`.
 */
import { runMain } from "./longForm.ts"
import * as Stops from "./Stops.ts"

runMain({
  name: "stop",
  about: "Stop runners of tasks at any moment, under load, and see that nothing is lost, left or written twice",
  turns: { flag: "rounds", about: "How many runners are stopped" },
  run: (stage, { seed, turns }) => Stops.run(stage, { rounds: turns, seed })
})
