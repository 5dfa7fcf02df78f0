// Two pages without a value in them: what is to be seen comes as data, and is text to the browser.
const page = (title: string, body: string): string => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<link rel="icon" href="data:,">
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
  label { display: block; margin: 1rem 0; } input, textarea { display: block; width: 100%; font: inherit; }
  table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: 0.25rem 0.75rem 0.25rem 0; }
  progress { width: 8rem; }
</style>
<h1>${title}</h1>
${body}
</html>
`

export const form = page(
  "Write to us",
  `<form>
  <label>Name <input name="name" required maxlength="200"></label>
  <label>Mail address <input name="email" type="email" required maxlength="200"></label>
  <label>Message <textarea name="text" required rows="6" maxlength="10000"></textarea></label>
  <button>Send</button> <output></output>
</form>
<script type="module">
  const form = document.querySelector("form")
  form.addEventListener("submit", async (event) => {
    event.preventDefault()
    const body = new URLSearchParams(new FormData(form))
    const { ok } = await fetch("/contact", { method: "POST", body })
    form.querySelector("output").textContent = ok ? "Thank you. It is on its way." : "That did not work. Please try again."
    if (ok) form.reset()
  })
</script>`
)

export const admin = page(
  "Tasks",
  `<p><button id="clean-up">Clean up now</button></p>
<table><thead><tr><th>task<th>state<th>attempt<th>progress<th>why</thead><tbody></tbody></table>
<script type="module">
  const watched = new Map()
  const watch = (id) => {
    const progress = document.createElement("progress")
    watched.set(id, progress)
    const source = new EventSource("/admin/tasks/" + encodeURIComponent(id) + "/progress")
    source.onmessage = ({ data }) => {
      const { deleted, of } = JSON.parse(data)
      progress.max = of || 1
      progress.value = of === 0 ? 1 : deleted
      progress.title = deleted + " of " + of
    }
    source.onerror = () => source.close()
    return progress
  }
  const show = async () => {
    const tasks = await (await fetch("/admin/tasks")).json()
    document.querySelector("tbody").replaceChildren(
      ...tasks.map(({ attempt, id, name, state, why }) => {
        const row = document.createElement("tr")
        for (const text of [name, state, attempt]) row.insertCell().textContent = text
        if (name === "clean-up") row.insertCell().append(watched.get(id) ?? watch(id))
        else row.insertCell()
        row.insertCell().textContent = why ?? ""
        if (state === "failed" || state === "dead") {
          const again = document.createElement("button")
          again.textContent = "Again"
          again.onclick = async () => {
            await fetch("/admin/tasks/" + encodeURIComponent(id) + "/requeue", { method: "POST" })
            await show()
          }
          row.insertCell().append(again)
        }
        return row
      })
    )
  }
  document.querySelector("#clean-up").onclick = async () => {
    await fetch("/admin/clean-up", { method: "POST" })
    await show()
  }
  await show()
  setInterval(show, 1000)
</script>`
)
