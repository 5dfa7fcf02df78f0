import { defineConfig } from "vitest/config"

const project = (name: string, options: { readonly globalSetup?: string } = {}) => ({
  extends: true as const,
  test: { name, include: [`test/${name}/**/*.test.ts`], ...options }
})

export default defineConfig({
  resolve: { conditions: ["@querypool/source"] },
  ssr: { resolve: { conditions: ["@querypool/source"] } },
  test: {
    setupFiles: ["test/support/leaks.ts"],
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
