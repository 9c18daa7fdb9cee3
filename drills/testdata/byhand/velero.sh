#!/bin/bash
# A namespace that is deleted with the bytes of its volumes, and restored by hand with Velero's own command line, out of a store in a container. It says how
# long each part took. Environment: see kind.sh; and the program VELERO, the images VELERO_IMAGE, PLUGIN_IMAGE and STORE_IMAGE, and the manifest WORKLOAD.
. "${0%/*}/kind.sh"
store=$NAME-store
export HOME=$WORK KUBECONFIG=$WORK/kubeconfig
trap '{ delete kept; "$ENGINE" rm --force --volumes "$store"; } >&2' EXIT

provision() {
  create kept "$IMAGE" "$VELERO_IMAGE" "$PLUGIN_IMAGE"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj "/CN=$store" -addext "subjectAltName=DNS:$store" \
    -keyout "$WORK/tls.key" -out "$WORK/tls.crt"
  mkdir -p "$WORK/store/bucket" "$WORK/meta"
  "$ENGINE" run --detach --pull never --name "$store" --network kind --volume "$WORK:$WORK" --user "$(id -u):$(id -g)" \
    --env HOME=/ --env ROOT_ACCESS_KEY_ID=by --env ROOT_SECRET_ACCESS_KEY=hand \
    "$STORE_IMAGE" --port :7070 --cert "$WORK/tls.crt" --key "$WORK/tls.key" --quiet posix --sidecar "$WORK/meta" "$WORK/store"
  printf '[default]\naws_access_key_id=by\naws_secret_access_key=hand\n' >"$WORK/credentials"
  "$VELERO" install --provider aws --image "$VELERO_IMAGE" --plugins "$PLUGIN_IMAGE" --bucket bucket --secret-file "$WORK/credentials" \
    --backup-location-config "region=us-east-1,s3ForcePathStyle=true,s3Url=https://$store:7070" --cacert "$WORK/tls.crt" \
    --use-volume-snapshots=false --use-node-agent --wait
  api kept wait backupstoragelocation/default --namespace velero --for=jsonpath='{.status.phase}'=Available --timeout=3m
}

running() {
  api kept rollout status statefulset/journal --namespace volumes --timeout=3m
  api kept wait pod/volume-ledger --namespace volumes --for=condition=Ready --timeout=3m
}

seed() {
  api kept apply -f - <"$WORKLOAD"
  running
  api kept exec --namespace volumes journal-0 -- sh -c 'for i in $(seq 12); do dd if=/dev/urandom of=/data/$i bs=1k count=5461; done; sync'
}

# completed KIND NAME fails unless Velero says so.
completed() { [ "$(api kept get "$1.velero.io" "$2" --namespace velero --output 'jsonpath={.status.phase}')" = Completed ]; }

backup() {
  "$VELERO" backup create by-hand --include-namespaces volumes --default-volumes-to-fs-backup --wait
  completed backup by-hand
}

lose() { api kept delete namespace volumes; }

restore() {
  "$VELERO" restore create by-hand --from-backup by-hand --wait
  completed restore by-hand
  running
}

timed provision
seed >&2
timed backup
lose >&2
timed restore
