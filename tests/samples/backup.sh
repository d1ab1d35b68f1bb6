#!/bin/sh
# Generate, store, back up, store, confirm: with curl, and the shares never on a command line.
set -Ceu # C: nothing is written over
umask 077
output=$1
printf 'header = "Authorization: Bearer %s"\n' "$PORTAL_CLIENT_API_KEY" >"$output.curl"

call() { # METHOD PATH [OPTION…], the body on stdin
    method=$1 path=$2
    shift 2
    curl --silent --show-error --fail --config "$output.curl" --request "$method" --data-binary @- \
        --header 'Content-Type: application/json' "$@" "$PORTAL_SANDBOX_URL$path"
}

# FILE: its two ids, as a list in JSON.
ids() { grep -o '"id":"[^"]*"' "$1" | cut -d: -f2 | paste -sd, - | sed 's/.*/[&]/'; }

echo '{}' | call POST /v1/generate >"$output.wallet"
printf '{"status":"STORED_CLIENT","signingSharePairIds":%s}' "$(ids "$output.wallet")" |
    call PATCH /api/v3/clients/me/signing-share-pairs
# As one JSON string: it is one line, and nothing in it but quotes needs an escape.
sed 's/"/\\"/g; s/.*/{"generateResponse":"&"}/' "$output.wallet" | call POST /v1/backup >"$output"
printf '{"status":"STORED_CLIENT_BACKUP_SHARE","backupSharePairIds":%s}' "$(ids "$output")" |
    call PATCH /api/v3/clients/me/backup-share-pairs --write-out '%{http_code}'
rm -f "$output.curl"
