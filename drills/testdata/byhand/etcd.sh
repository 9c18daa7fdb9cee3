#!/bin/bash
# A cluster that is lost, and its snapshot restored by hand into a new one: the steps of kubernetes.io and etcd.io, and those without which its pods would
# not run again on a node of another name. It says how long each part took. Environment: see kind.sh.
. "${0%/*}/kind.sh"
trap '{ delete lost; delete new; } >&2' EXIT
pki=/etc/kubernetes/pki

provision() { create lost "$IMAGE"; }

seed() {
  api lost apply -f - <"${0%/*}/web.yaml"
  api lost wait deployment/web --namespace web --for=condition=Available --timeout=3m
}

backup() {
  on lost etcdctl --endpoints https://127.0.0.1:2379 --cacert $pki/etcd/ca.crt --cert $pki/etcd/server.crt --key $pki/etcd/server.key \
    snapshot save /root/snapshot.db
  "$ENGINE" cp "$NAME-lost-control-plane:/root/snapshot.db" "$WORK/snapshot.db"
  "$ENGINE" cp "$NAME-lost-control-plane:$pki" "$WORK/pki"
}

lose() { delete lost; }

restore() {
  create new "$IMAGE"
  "$ENGINE" cp "$WORK/snapshot.db" "$NAME-new-control-plane:/root/snapshot.db"
  "$ENGINE" cp "$WORK/pki" "$NAME-new-control-plane:/root/pki"
  on new timeout 5m bash -euxo pipefail -s <<'NODE'
name=$(hostname)
peer=$(sed -n 's/.*--initial-advertise-peer-urls=//p' /etc/kubernetes/manifests/etcd.yaml)
systemctl stop kubelet
ctr --namespace k8s.io tasks ls --quiet | xargs --max-args 1 ctr --namespace k8s.io tasks kill --signal KILL || true # some end with others
rm -rf /var/lib/etcd/member /etc/kubernetes/pki /etc/kubernetes/*.conf /var/lib/kubelet/pki
mkdir -p /etc/kubernetes/pki/etcd
cp /root/pki/{ca,sa,front-proxy-ca}.* /etc/kubernetes/pki
cp /root/pki/etcd/ca.* /etc/kubernetes/pki/etcd
kubeadm init phase certs all --config /kind/kubeadm.conf
kubeadm init phase kubeconfig all --config /kind/kubeadm.conf
etcdutl snapshot restore /root/snapshot.db --name "$name" --initial-cluster "$name=$peer" --initial-advertise-peer-urls "$peer" \
  --bump-revision 1000000000 --mark-compacted --data-dir /var/lib/etcd/restored
mv /var/lib/etcd/restored/member /var/lib/etcd/member
systemctl start kubelet
export KUBECONFIG=/etc/kubernetes/admin.conf
until kubectl get --raw /readyz; do sleep 0.1; done
# Leaders that are gone hold these for a while.
kubectl delete lease --namespace kube-system kube-controller-manager kube-scheduler
kubeadm init phase addon all --config /kind/kubeadm.conf
until kubectl get node "$name"; do sleep 0.1; done
kubeadm init phase mark-control-plane --config /kind/kubeadm.conf
kubectl taint node "$name" node-role.kubernetes.io/control-plane- # it is the only one
lost=$(kubectl get nodes --output name | grep --invert-match --line-regexp "node/$name")
kubectl delete "$lost"
kubectl delete pods --all-namespaces --field-selector "spec.nodeName=${lost#node/}" --force
kubectl delete pods --namespace kube-system --selector k8s-app=kube-proxy --grace-period 1 --wait=false
address=$(kubectl get service web --namespace web --output 'jsonpath={.spec.clusterIP}')
until curl --silent --fail --max-time 1 "http://$address"; do sleep 0.1; done
kubectl wait deployment --all --all-namespaces --for=condition=Available --timeout=3m
NODE
}

timed provision
seed >&2
timed backup
lose >&2
timed restore
