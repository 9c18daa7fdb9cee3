# What a restore by hand on clusters of kind begins with. The environment names the programs ENGINE and KIND, the images NODE_IMAGE and IMAGE, a directory
# WORK, and NAME, which no other cluster's name begins with.
set -euo pipefail
export LC_ALL=C

# timed PART does it, and says how many microseconds that took.
timed() {
  local began=${EPOCHREALTIME/./}
  "$1" >&2
  echo "$1 $((${EPOCHREALTIME/./} - began))"
}

# What kubelets need on a machine with cgroup v1, and on one that cannot give the capability to lift resource limits.
config='{kind: Cluster, apiVersion: kind.x-k8s.io/v1alpha4'
if [ "$("$ENGINE" info --format '{{.CgroupVersion}}')" = 1 ]; then
  config+=', kubeadmConfigPatches: ["{kind: KubeletConfiguration, failCgroupV1: false}"]'
fi
if ((!(16#$(awk '$1 == "CapBnd:" { print $2 }' /proc/self/status) >> 24 & 1))); then
  config+=', featureGates: {KubeletInUserNamespace: true}'
fi
config+='}'

# create CLUSTER IMAGE... makes a cluster of one node that has the images.
create() {
  local cluster=$NAME-$1
  shift
  "$KIND" create cluster --name "$cluster" --image "$NODE_IMAGE" --kubeconfig "$WORK/kubeconfig" --config - <<<"$config"
  "$KIND" load docker-image --name "$cluster" "$@"
}

delete() { "$KIND" delete cluster --name "$NAME-$1" --kubeconfig "$WORK/kubeconfig"; }

# on CLUSTER COMMAND... runs it on the node.
on() {
  local node=$NAME-$1-control-plane
  shift
  "$ENGINE" exec --interactive "$node" "$@"
}

# api CLUSTER ARGUMENT... runs kubectl there.
api() {
  local cluster=$1
  shift
  on "$cluster" kubectl --kubeconfig /etc/kubernetes/admin.conf "$@"
}
