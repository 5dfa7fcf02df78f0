import { defineConfig } from "vitest/config"

export default defineConfig({
  resolve: { conditions: ["@querypool/source"] },
  ssr: { resolve: { conditions: ["@querypool/source"] } },
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/globalSetup.ts"],
    setupFiles: ["test/support/leaks.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000
  }
})
