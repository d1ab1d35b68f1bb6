"""Generate, back up, store, confirm: with aiohttp, as the service's documentation does it, but stored before confirmed."""

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


async def main(output):
    async with aiohttp.ClientSession() as session:
        generated = await post(session, "/v1/generate", {})
        shares = await post(session, "/v1/backup", {"generateResponse": json.dumps(generated)})
        with open(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(shares, file)

        body = {
            "status": "STORED_CLIENT_BACKUP_SHARE",
            "backupSharePairIds": [share["id"] for share in shares.values()],
        }
        path = "/api/v3/clients/me/backup-share-pairs"
        async with session.patch(URL + path, headers=HEADERS, json=body) as response:
            response.raise_for_status()
            print(response.status)


asyncio.run(main(sys.argv[1]))
