export { advance as timePasses } from "../../../src/testing/TestTime.ts"
