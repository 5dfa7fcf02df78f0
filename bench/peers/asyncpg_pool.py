"""asyncpg on asyncio's own event loop: as many workers as connections, each keeping one for the whole round.

Keeping it is asyncpg at its fastest: giving a connection back to the pool after each query costs a second round trip,
the reset of its session.
"""

import asyncio

import asyncpg

import peer


def open_pool(job):
    loop = asyncio.new_event_loop()
    # The host, the user, the password and the database come from libpq's environment variables.
    pool = loop.run_until_complete(
        asyncpg.create_pool(
            min_size=job["workers"], max_size=job["workers"], server_settings=job["startup"], loop=loop
        )
    )

    async def run():
        results = [None] * len(job["statements"])
        tasks = iter(enumerate(job["statements"]))

        async def work():
            async with pool.acquire() as connection:
                for index, statement in tasks:
                    results[index] = await connection.fetch(statement["text"], *statement["parameters"])

        await asyncio.gather(*(work() for _ in range(job["workers"])))
        return results

    return lambda: loop.run_until_complete(run())


peer.serve(open_pool)
