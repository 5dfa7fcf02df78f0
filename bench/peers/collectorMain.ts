/** A collector that takes whatever it is sent, and keeps nothing. Tells its port to whom started it, and ends with that. */
import { createServer } from "node:http"

const server = createServer((request, response) => {
  request.resume().on("end", () => response.writeHead(200, { "content-type": "application/json" }).end("{}"))
})
server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  if (typeof address === "object") process.send?.(address?.port)
})
process.on("disconnect", () => process.exit())
