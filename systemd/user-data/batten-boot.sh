#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
#
# User data of an Amazon ECS container instance: batten before Docker and the ECS agent. With a line
# "#cloud-boothook" above, cloud-init runs it early at each boot; it may run any number of times. What
# it says is in the console log.
#
# Yours to set, here or in the environment:
# Where the package is: s3://BUCKET/KEY (through the instance's role), https://..., or /a/file. Its
# name ends in .rpm or .deb.
BATTEN_SOURCE=${BATTEN_SOURCE:-}
# SHA-256 of the package. A URL needs it, the others may do without.
BATTEN_SHA256=${BATTEN_SHA256:-}
# What `batten fix` sees to in ecs.config; see `batten audit --list`. CFG-08 means no privileged tasks.
BATTEN_CONTROLS=${BATTEN_CONTROLS:-CFG-01,CFG-06}
# Findings of this severity and above fail the boot's last check.
BATTEN_FAIL_ON=${BATTEN_FAIL_ON:-critical}
# What happens where batten cannot be had: "fallback" closes what the base system can close, "stop"
# keeps the ECS agent from starting besides, so that no task comes here.
BATTEN_OTHERWISE=${BATTEN_OTHERWISE:-fallback}
# Another endpoint of S3: https://BUCKET.s3.REGION.amazonaws.com is the default.
BATTEN_S3_ENDPOINT=${BATTEN_S3_ENDPOINT:-}

set -u
umask 077
config=/etc/ecs/ecs.config
booted=/var/lib/batten/booted
imds=http://169.254.169.254
before=86 # priorities of our routing rules; batten's own begin at 89
behind=87

say() { echo "batten-boot: $*"; }
# Standard output may go elsewhere than to the console.
loud() {
	say "$*"
	echo "batten-boot: $*" 2>/dev/null >>/dev/console || :
}

# ---- what the base system can do -----------------------------------------------------------------

# Forwarded packets to the service end here, whatever the firewall says; the host's own do not.
close_roads() {
	missing=
	for family in "-4 169.254.169.254" "-6 fd00:ec2::254"; do
		# shellcheck disable=SC2086 # two words
		set -- $family
		[ "$1" = -4 ] || [ -e /proc/sys/net/ipv6 ] || continue
		ip "$1" rule show | grep -q "^$behind:" ||
			{ ip "$1" rule add pref $before to "$2" iif lo lookup main &&
				ip "$1" rule add pref $behind to "$2" prohibit; } || missing="$missing $2"
	done
	[ -z "$missing" ]
}
# Tasks in host network mode are told by their slice, which stays once it is started. The rule is worth
# as much as the firewall that it stands in.
host_rule() { # iptables or ip6tables, -C, -I or -D, address
	"$1" -w "$2" OUTPUT -d "$3" -m cgroup --path ecstasks.slice -j REJECT
}
close_host_network() {
	systemctl start ecstasks.slice || return 1
	host_rule iptables -C 169.254.169.254 2>/dev/null || host_rule iptables -I 169.254.169.254 || return 1
	[ -e /proc/sys/net/ipv6 ] || return 0
	host_rule ip6tables -C fd00:ec2::254 2>/dev/null || host_rule ip6tables -I fd00:ec2::254
}
# batten closes them itself, with exceptions that these rules know nothing of.
leave_roads_to_batten() {
	host_rule iptables -D 169.254.169.254 2>/dev/null
	host_rule ip6tables -D fd00:ec2::254 2>/dev/null
	for family in "-4 169.254.169.254" "-6 fd00:ec2::254"; do
		# shellcheck disable=SC2086
		set -- $family
		ip "$1" rule del pref $behind to "$2" prohibit 2>/dev/null
		ip "$1" rule del pref $before to "$2" iif lo lookup main 2>/dev/null
	done
	return 0
}
# The agent takes the last line that names a variable. Every other byte stays.
agent_switch() {
	last=
	[ ! -e "$config" ] || last=$(grep "^$1=" "$config" | tail -n 1)
	[ "$last" != "$1=$2" ] || return 0
	mkdir -p "${config%/*}" || return 1
	if [ -s "$config" ] && [ -n "$(tail -c 1 "$config")" ]; then echo >>"$config"; fi
	echo "$1=$2" >>"$config"
}
fall_back() {
	loud "FAILED: $*"
	if close_roads; then
		loud "fallback: routing rules keep tasks on bridge networks out of the metadata service"
	else
		loud "FAILED: no routing rule could be set for$missing: tasks on bridge networks REACH the metadata service"
	fi
	if agent_switch ECS_AWSVPC_BLOCK_IMDS true; then
		loud "fallback: ECS_AWSVPC_BLOCK_IMDS=true keeps awsvpc tasks out"
	else
		loud "FAILED: $config cannot be written: awsvpc tasks REACH the metadata service"
	fi
	case ,$BATTEN_CONTROLS, in *,CFG-08,*) agent_switch ECS_DISABLE_PRIVILEGED true ;; esac
	if close_host_network; then
		loud "fallback: a rule of the packet filter keeps tasks in host network mode out while it stands"
	else
		loud "FAILED: no such rule could be set: tasks in host network mode REACH the metadata service"
	fi
	if [ "$BATTEN_OTHERWISE" = stop ]; then
		systemctl mask --runtime --now ecs.service && loud "fallback: the ECS agent is kept from starting, no task comes here"
	fi
	exit 1
}

# ---- the package ---------------------------------------------------------------------------------

imds_get() { curl -fsS -m 5 -H "X-aws-ec2-metadata-token: $token" "$imds/latest/$1"; }
field() { sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p" "$work/role"; }
# The secrets go to curl by its standard input: arguments can be seen by everybody.
from_s3() { # bucket, key
	if command -v aws >/dev/null && [ -z "$BATTEN_S3_ENDPOINT" ]; then
		aws s3 cp --only-show-errors "s3://$1/$2" "$work/$file"
		return
	fi
	token=$(curl -fsS -m 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' "$imds/latest/api/token") || return 1
	region=$(imds_get meta-data/placement/region) || return 1
	role=$(imds_get meta-data/iam/security-credentials/) || return 1
	imds_get "meta-data/iam/security-credentials/$role" >"$work/role" || return 1
	curl -fsS -m 300 --retry 5 --aws-sigv4 "aws:amz:$region:s3" -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' -K - \
		-o "$work/$file" "${BATTEN_S3_ENDPOINT:-https://$1.s3.$region.amazonaws.com}/$2" <<-CURL
			user = "$(field AccessKeyId):$(field SecretAccessKey)"
			header = "x-amz-security-token: $(field Token)"
		CURL
}
fetch() {
	case $BATTEN_SOURCE in
	s3://*/*)
		rest=${BATTEN_SOURCE#s3://}
		from_s3 "${rest%%/*}" "${rest#*/}"
		;;
	https://* | http://*)
		[ -n "$BATTEN_SHA256" ] || { loud "a URL needs BATTEN_SHA256"; return 1; }
		curl -fsSL -m 300 --retry 5 --retry-connrefused -o "$work/$file" "$BATTEN_SOURCE"
		;;
	/*) cp "$BATTEN_SOURCE" "$work/$file" ;;
	*) loud "BATTEN_SOURCE is \"$BATTEN_SOURCE\": s3://BUCKET/KEY, https://..., or /a/file"; return 1 ;;
	esac
}
install_package() {
	case $file in
	*.rpm) dnf install -y -q "$work/$file" || rpm -U --oldpackage --replacepkgs "$work/$file" ;;
	*.deb)
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --allow-downgrades -o DPkg::Lock::Timeout=120 \
			"$work/$file" || dpkg -i "$work/$file"
		;;
	*) loud "$file: the name has to end in .rpm or .deb"; return 1 ;;
	esac
}

# ---- in this order -------------------------------------------------------------------------------

work=$(mktemp -d) || fall_back "no temporary folder"
trap 'rm -rf "$work"' EXIT
file=${BATTEN_SOURCE%%\?*}
file=${file##*/}
# First of all: it takes a while until batten is here.
close_roads || say "no routing rules yet for$missing"

want="$BATTEN_SOURCE $BATTEN_SHA256"
if [ "$(cat $booted 2>/dev/null)" = "$want" ] && batten --version >/dev/null 2>&1; then
	say "$(batten --version) is installed"
else
	fetch || fall_back "the package cannot be had from $BATTEN_SOURCE"
	if [ -n "$BATTEN_SHA256" ]; then
		echo "$BATTEN_SHA256  $work/$file" | sha256sum -c - >/dev/null 2>&1 ||
			fall_back "the package has another SHA-256 than $BATTEN_SHA256: $(sha256sum "$work/$file" | cut -c1-64)"
	fi
	(umask 022 && install_package) || fall_back "the package cannot be installed"
	mkdir -p ${booted%/*} && echo "$want" >$booted
	say "$(batten --version) installed from $BATTEN_SOURCE"
fi
{ systemctl enable --quiet batten.service && systemctl start batten.service; } ||
	fall_back "the daemon does not start: journalctl -u batten tells why"
leave_roads_to_batten
batten imds status >/dev/null || fall_back "the guard is not closed: batten imds status tells why"
if systemctl is-active --quiet docker.service; then
	loud "Docker ran before batten did; as a boothook this script comes first"
fi

failed=0
batten fix --control "$BATTEN_CONTROLS" || { failed=1; loud "FAILED: batten fix --control $BATTEN_CONTROLS"; }
# What Docker and the agent do can only be judged once they run.
if systemctl is-active --quiet docker.service; then
	batten audit --fail-on "$BATTEN_FAIL_ON" || { failed=1; loud "FAILED: batten audit --fail-on $BATTEN_FAIL_ON"; }
else
	systemd-run --quiet --no-block --unit=batten-boot-audit -p After=docker.service -p After=ecs.service \
		-p StandardOutput=journal+console batten audit --fail-on "$BATTEN_FAIL_ON" ||
		{ failed=1; loud "FAILED: the audit cannot be scheduled"; }
fi
[ "$failed" -ne 0 ] || say "done; the metadata service is closed to tasks"
exit "$failed"
