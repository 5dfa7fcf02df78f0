/**
 * Finds the messages in the bytes of a PostgreSQL connection, by their type and length alone: no value is decoded.
 *
 * The first packet of a client has no type. It is a StartupMessage or a request for encryption, which the server answers
 * with one byte and which another first packet follows, or a CancelRequest. What is encrypted, and what is not the
 * protocol at all, is passed on unread.
 *
 * Types are those of the manual's chapter "Message Formats", protocol versions 3.0 to 3.2.
 */

/** Where bytes go to. */
export type Direction = "toServer" | "toClient"

export const directions: ReadonlyArray<Direction> = ["toServer", "toClient"]

// What comes without a type byte gets a number that no letter has.
const types = {
  toServer: {
    StartupMessage: 1,
    SSLRequest: 2,
    GSSENCRequest: 3,
    CancelRequest: 4,
    Bind: 0x42,
    Close: 0x43,
    CopyData: 0x64,
    CopyDone: 0x63,
    CopyFail: 0x66,
    Describe: 0x44,
    Execute: 0x45,
    Flush: 0x48,
    FunctionCall: 0x46,
    Parse: 0x50,
    /** PasswordMessage, SASLInitialResponse, SASLResponse or GSSResponse. */
    Password: 0x70,
    Query: 0x51,
    Sync: 0x53,
    Terminate: 0x58
  },
  toClient: {
    /** The byte that answers a request for encryption. */
    EncryptionAnswer: 5,
    Authentication: 0x52,
    BackendKeyData: 0x4b,
    BindComplete: 0x32,
    CloseComplete: 0x33,
    CommandComplete: 0x43,
    CopyBothResponse: 0x57,
    CopyData: 0x64,
    CopyDone: 0x63,
    CopyInResponse: 0x47,
    CopyOutResponse: 0x48,
    DataRow: 0x44,
    EmptyQueryResponse: 0x49,
    ErrorResponse: 0x45,
    FunctionCallResponse: 0x56,
    NegotiateProtocolVersion: 0x76,
    NoData: 0x6e,
    NoticeResponse: 0x4e,
    NotificationResponse: 0x41,
    ParameterDescription: 0x74,
    ParameterStatus: 0x53,
    ParseComplete: 0x31,
    PortalSuspended: 0x73,
    ReadyForQuery: 0x5a,
    RowDescription: 0x54
  }
} as const

/** What a client sends. */
export type FrontendType = keyof (typeof types)["toServer"]
/** What a server sends. */
export type BackendType = keyof (typeof types)["toClient"]

const names: Record<Direction, ReadonlyMap<number, string>> = {
  toServer: new Map(Object.entries(types.toServer).map(([name, code]) => [code, name])),
  toClient: new Map(Object.entries(types.toClient).map(([name, code]) => [code, name]))
}

/** Of a type this does not know, the name is its letter. */
export const nameOf = (direction: Direction, code: number): string =>
  names[direction].get(code) ?? String.fromCharCode(code)

export const frontend = types.toServer
export const backend = types.toClient

// A message that is told apart by what it says is read whole. The others pass as they come, however long they are.
const readWhole: Record<Direction, ReadonlySet<number>> = {
  toServer: new Set([
    frontend.Bind,
    frontend.Close,
    frontend.Describe,
    frontend.Execute,
    frontend.Parse,
    frontend.Query
  ]),
  toClient: new Set([backend.BackendKeyData, backend.ErrorResponse])
}

const headerBytes = 5
const firstHeaderBytes = 8

// As the server's MAX_STARTUP_PACKET_LENGTH: what claims to be longer is something else, a TLS handshake for one.
const firstPacketBytes = 10_000

const firstPackets: ReadonlyMap<number, number> = new Map([
  [80877102, frontend.CancelRequest],
  [80877103, frontend.SSLRequest],
  [80877104, frontend.GSSENCRequest]
])

const protocolVersion3 = 3

// The process id and at least four bytes of a secret behind the header.
const cancelRequestBytes = firstHeaderBytes + 8

/** "incomplete": nothing can be said before `needed` bytes are there; "unread": nothing will ever be said. */
type Reading = "message" | "incomplete" | "unread"

/** Reads the messages of one direction, one header after the other. */
export class FrameReader {
  readonly direction: Direction
  /** Of the message whose header was read last. */
  code = 0
  /** Bytes of that message with its header. */
  size = 0
  /** Bytes, from the start of the message, without which nothing can be said about it. */
  needed = 0
  phase: "first" | "answer" | "typed" | "unread"

  constructor(direction: Direction) {
    this.direction = direction
    this.phase = direction === "toServer" ? "first" : "typed"
  }

  /** Reads the header at an offset. */
  read(bytes: Buffer, at: number): Reading {
    if (this.phase === "typed") return this.readTyped(bytes, at)
    if (this.phase === "first") return this.readFirst(bytes, at)
    return this.phase === "answer" ? this.readAnswer(bytes, at) : "unread"
  }

  /** Whether it was a packet without a type, which only a client sends. */
  get isFirstPacket(): boolean {
    return this.code <= frontend.CancelRequest
  }

  /** Where its content begins, counted from its start. */
  get contentAt(): number {
    return this.isFirstPacket ? firstHeaderBytes : headerBytes
  }

  private readTyped(bytes: Buffer, at: number): Reading {
    const available = bytes.length - at
    if (available < headerBytes) return this.more(headerBytes)
    const length = bytes.readUInt32BE(at + 1)
    if (length < headerBytes - 1) return this.giveUp()
    this.code = bytes[at] ?? 0
    this.size = 1 + length
    return available >= this.size || !readWhole[this.direction].has(this.code) ? "message" : this.more(this.size)
  }

  private readFirst(bytes: Buffer, at: number): Reading {
    const available = bytes.length - at
    if (available < firstHeaderBytes) return this.more(firstHeaderBytes)
    this.size = bytes.readUInt32BE(at)
    if (this.size < firstHeaderBytes || this.size > firstPacketBytes) return this.giveUp()
    if (available < this.size) return this.more(this.size)
    const isStartup = bytes.readUInt16BE(at + 4) === protocolVersion3
    const code = isStartup ? frontend.StartupMessage : firstPackets.get(bytes.readUInt32BE(at + 4))
    if (code === undefined || (code === frontend.CancelRequest && this.size < cancelRequestBytes)) return this.giveUp()
    this.code = code
    if (isStartup) this.phase = "typed"
    return "message"
  }

  private readAnswer(bytes: Buffer, at: number): Reading {
    // A server that does not even know the request says so in an ErrorResponse.
    if (bytes[at] === backend.ErrorResponse) {
      this.phase = "typed"
      return this.readTyped(bytes, at)
    }
    this.code = backend.EncryptionAnswer
    this.size = 1
    this.phase = bytes[at] === 0x4e ? "typed" : "unread"
    return "message"
  }

  private more(needed: number): Reading {
    this.needed = needed
    return "incomplete"
  }

  private giveUp(): Reading {
    this.phase = "unread"
    return "unread"
  }
}

/** The text that ends at the next NUL, and where the one behind it begins. */
export const readText = (bytes: Buffer, at: number): { readonly text: string; readonly next: number } => {
  const found = bytes.indexOf(0, at)
  // Without a NUL everything is text: the caller's loop would not end if this went back.
  const end = found < 0 ? bytes.length : found
  return { text: bytes.toString("utf8", at, end), next: end + 1 }
}

/** The parameters of a StartupMessage, such as `user` and `application_name`. */
export const startupParameters = (frame: Buffer): ReadonlyMap<string, string> => {
  const parameters = new Map<string, string>()
  for (let at = firstHeaderBytes; at < frame.length && frame[at] !== 0;) {
    const name = readText(frame, at)
    const value = readText(frame, name.next)
    parameters.set(name.text, value.text)
    at = value.next
  }
  return parameters
}

/** The SQLSTATE of an ErrorResponse, whose fields are a letter and a text each. */
export const sqlStateOf = (bytes: Buffer, contentAt: number): string => {
  let at = contentAt
  while (at < bytes.length && bytes[at] !== 0) {
    const field = readText(bytes, at + 1)
    if (bytes[at] === 0x43) return field.text
    at = field.next
  }
  return ""
}

/** An ErrorResponse as a server would send it. */
export const errorResponse = (error: {
  readonly severity: string
  readonly code: string
  readonly message: string
}): Buffer => {
  const { code, message, severity } = error
  const fields = Buffer.from(`S${severity}\0V${severity}\0C${code}\0M${message}\0\0`)
  const header = Buffer.alloc(headerBytes)
  header[0] = backend.ErrorResponse
  header.writeInt32BE(4 + fields.length, 1)
  return Buffer.concat([header, fields])
}
