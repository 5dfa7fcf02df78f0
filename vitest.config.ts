import { defineConfig } from "vitest/config"

const source = (path: string) => new URL(`./src/${path}`, import.meta.url).pathname

const project = (name: string, options: { readonly globalSetup?: string } = {}) => ({
  extends: true as const,
  test: { name, include: [`test/${name}/**/*.test.ts`], ...options }
})

export default defineConfig({
  // By path: a condition of package.json's exports does not reach the global setup.
  resolve: {
    alias: [
      { find: /^querypool\/embedded$/, replacement: source("embedded/EmbeddedPostgres.ts") },
      { find: /^querypool\/task$/, replacement: source("task/index.ts") },
      { find: /^querypool\/testing$/, replacement: source("testing/index.ts") },
      { find: /^querypool$/, replacement: source("index.ts") }
    ]
  },
  test: {
    setupFiles: ["test/support/leaks.ts", "test/support/secrets.ts"],
    reporters: ["default", "./test/support/closingLine.ts"],
    // Half of the processors, which is the default, would leave the other of two idle.
    maxWorkers: "100%",
    testTimeout: 60_000,
    hookTimeout: 60_000,
    projects: [
      project("unit"),
      project("integration", { globalSetup: "test/support/globalSetup.ts" }),
      project("isolated")
    ]
  }
})
