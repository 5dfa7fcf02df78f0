import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Flag } from "effect/cli"
import { integer } from "../../../src/cli/IntegerFlag.ts"
