/** Whether two types are one and the same; `any` is the same as nothing but `any`. */
export type Equals<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

/** Whether a value of type `A` may stand where a `B` is wanted. */
export type Fits<A, B> = [A] extends [B] ? true : false

/** Compiles for `true` alone. */
export declare const expect: <_Holds extends true>() => void

/** Takes anything: what stands between the brackets has to compile. */
export declare const accept: (value: unknown) => void

expect<Equals<string, string>>()
expect<Equals<1 | 2, 2 | 1>>()
// @ts-expect-error -- a part is not the whole
expect<Equals<1, 1 | 2>>()
// @ts-expect-error -- any is no string
expect<Equals<ReturnType<typeof JSON.parse>, string>>()
// @ts-expect-error -- unknown is no string
expect<Equals<unknown, string>>()
// @ts-expect-error -- a readonly tuple is no tuple
expect<Equals<readonly [string], [string]>>()
