/**
 * Elements of the page. What is put into one as text is text, whatever is written there.
 *
 * @internal
 */

type Child = Node | string | undefined

type Attributes = Readonly<Record<string, string | number | boolean | undefined>>

const fill = <E extends Element>(element: E, attributes: Attributes, children: ReadonlyArray<Child>): E => {
  set(element, attributes)
  for (const child of children) if (child !== undefined) element.append(child)
  return element
}

/**
 * Sets attributes: `true` is one without a value, and what is `false` or `undefined` is taken away.
 *
 * @internal
 */
export const set = (element: Element, attributes: Attributes): void => {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) element.removeAttribute(name)
    else element.setAttribute(name, value === true ? "" : String(value))
  }
}

/** @internal */
export const html = <K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: ReadonlyArray<Child>
): HTMLElementTagNameMap[K] => fill(document.createElement(tag), attributes, children)

/** @internal */
export const svg = <K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: ReadonlyArray<Child>
): SVGElementTagNameMap[K] => fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children)

/** @internal */
export const button = (text: string, press: () => void, attributes: Attributes = {}): HTMLButtonElement => {
  const element = html("button", { type: "button", ...attributes }, text)
  element.addEventListener("click", press)
  return element
}

/**
 * A name in a text: which way its letters run is not to change those around it.
 *
 * @internal
 */
export const named = (name: string, attributes: Attributes = {}): HTMLElement => html("bdi", attributes, name)

/**
 * Lets only the last of many calls before the next frame be done.
 *
 * @internal
 */
export const nextFrame = (work: () => void): (() => void) => {
  let isAsked = false
  return () => {
    if (isAsked) return
    isAsked = true
    requestAnimationFrame(() => {
      isAsked = false
      work()
    })
  }
}
