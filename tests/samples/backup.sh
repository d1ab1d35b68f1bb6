#!/bin/sh
# Generate, back up, store, confirm: with curl, and the shares never on a command line.
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

echo '{}' | call POST /v1/generate >"$output.generated"
# As one JSON string: it is one line, and nothing in it but quotes needs an escape.
sed 's/"/\\"/g; s/.*/{"generateResponse":"&"}/' "$output.generated" | call POST /v1/backup >"$output"
ids=$(grep -o '"id":"[^"]*"' "$output" | cut -d: -f2 | paste -sd, -)
printf '{"status":"STORED_CLIENT_BACKUP_SHARE","backupSharePairIds":[%s]}' "$ids" |
    call PATCH /api/v3/clients/me/backup-share-pairs --write-out '%{http_code}'
rm -f "$output.curl" "$output.generated"
