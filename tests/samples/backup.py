"""Generate, store, back up, store, confirm: with aiohttp, as documented, but each stored before it is said."""

import asyncio
import json
import os
import sys

import aiohttp

URL = os.environ["PORTAL_SANDBOX_URL"]
HEADERS = {
    "Authorization": f"Bearer {os.environ['PORTAL_CLIENT_API_KEY']}",
    "Content-Type": "application/json",
}


async def post(session, path, body):
    async with session.post(URL + path, headers=HEADERS, json=body) as response:
        response.raise_for_status()
        return await response.json()


async def patch(session, path, body):
    async with session.patch(URL + path, headers=HEADERS, json=body) as response:
        response.raise_for_status()
        return response.status


def store(name, shares):
    with open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(shares, file)


def ids(shares):
    return [share["id"] for share in shares.values()]


async def main(output):
    async with aiohttp.ClientSession() as session:
        generated = await post(session, "/v1/generate", {})
        store(output + ".wallet", generated)
        body = {"status": "STORED_CLIENT", "signingSharePairIds": ids(generated)}
        await patch(session, "/api/v3/clients/me/signing-share-pairs", body)

        shares = await post(session, "/v1/backup", {"generateResponse": json.dumps(generated)})
        store(output, shares)
        body = {"status": "STORED_CLIENT_BACKUP_SHARE", "backupSharePairIds": ids(shares)}
        print(await patch(session, "/api/v3/clients/me/backup-share-pairs", body))


asyncio.run(main(sys.argv[1]))
