// Generate, store, back up, store, confirm: with nothing but Node itself.
import { writeFileSync } from "node:fs";

const url = process.env.PORTAL_SANDBOX_URL;
const [output] = process.argv.slice(2);

async function call(method, path, body) {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: {
      Authorization: `Bearer ${process.env.PORTAL_CLIENT_API_KEY}`,
      "Content-Type": "application/json",
    },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return { status: response.status, text };
}

const ids = (text) => ["SECP256K1", "ED25519"].map((curve) => JSON.parse(text)[curve].id);

const generated = await call("POST", "/v1/generate", {});
writeFileSync(`${output}.wallet`, generated.text, { mode: 0o600, flag: "wx" });
await call("PATCH", "/api/v3/clients/me/signing-share-pairs", {
  status: "STORED_CLIENT",
  signingSharePairIds: ids(generated.text),
});

const backup = await call("POST", "/v1/backup", { generateResponse: generated.text });
writeFileSync(output, backup.text, { mode: 0o600, flag: "wx" });
const confirmed = await call("PATCH", "/api/v3/clients/me/backup-share-pairs", {
  status: "STORED_CLIENT_BACKUP_SHARE",
  backupSharePairIds: ids(backup.text),
});
console.log(confirmed.status);
