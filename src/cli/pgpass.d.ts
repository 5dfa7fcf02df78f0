declare module "pgpass" {
  interface Connection {
    readonly host: string
    readonly port: number
    readonly database: string
    readonly user: string
  }
  /** Looks a password up in the password file. */
  const pgpass: {
    (connection: Connection, found: (password: string | undefined) => void): void
    /** Says where warnings about the file go. */
    warnTo(stream: NodeJS.WritableStream): NodeJS.WritableStream
  }
  export default pgpass
}
