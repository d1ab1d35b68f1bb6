// Generate, store, back up, store, confirm: with axios, as documented, but each stored before it is said.
const fs = require("node:fs");
const axios = require("axios");

const url = process.env.PORTAL_SANDBOX_URL;
const [output] = process.argv.slice(2);

const portal = axios.create({
  headers: {
    Authorization: `Bearer ${process.env.PORTAL_CLIENT_API_KEY}`,
    "Content-Type": "application/json",
  },
});

async function main() {
  const generated = await portal.post(`${url}/v1/generate`, {});
  fs.writeFileSync(`${output}.wallet`, JSON.stringify(generated.data), { mode: 0o600, flag: "wx" });
  await portal.patch(`${url}/api/v3/clients/me/signing-share-pairs`, {
    status: "STORED_CLIENT",
    signingSharePairIds: Object.values(generated.data).map((share) => share.id),
  });

  const backup = await portal.post(`${url}/v1/backup`, {
    generateResponse: JSON.stringify(generated.data),
  });
  fs.writeFileSync(output, JSON.stringify(backup.data), { mode: 0o600, flag: "wx" });

  const backupSharePairIds = Object.values(backup.data).map((share) => share.id);
  const confirmed = await portal.patch(`${url}/api/v3/clients/me/backup-share-pairs`, {
    status: "STORED_CLIENT_BACKUP_SHARE",
    backupSharePairIds,
  });
  console.log(confirmed.status);
}

main();
