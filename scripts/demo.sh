#!/usr/bin/env bash
# From app/ to a browser, on this machine alone: a registry, a mount and an
# nginx on free loopback ports, until Ctrl-C. All of it is below .data/.
#
# With CHECK=1: fetches every file of both versions through nginx instead of
# staying, compares it with its source, and ends with 0 or 1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly demo=$PWD/.data/demo registry_data=$PWD/.data/registry
readonly mount=$demo/mnt
readonly services=(nginx regfs registry) # in the order in which they end

main() {
	mkdir -p "$demo" "$registry_data"
	refuse_second_demo
	clean_up # what a killed demo left
	trap 'clean_up' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	remember demo $$ "$(readlink /proc/$$/exe)"
	mkdir -p "$mount"

	start_registry
	publish v1 app
	make_v2 "$demo/v2/app"
	publish v2 "$demo/v2/app"
	start_mount
	start_nginx
	if [[ -n ${CHECK:-} ]]; then
		check
	else
		stay
	fi
}

# ---- processes -------------------------------------------------------------
#
# NAME.pid holds the process id, its start time and its program. All three must
# still be so before anything is killed: ids are used again.

remember() { # name pid program
	read_stat "$2" || true # gone already: wait_for will say so
	echo "$2 ${stat[19]:-} $3" >"$demo/$1.pid"
}

# read_stat reads /proc/PID/stat from the third field on into the array stat:
# 0 the state, 2 the process group, 19 the start time.
read_stat() { # pid
	local line
	stat=()
	read -r line 2>/dev/null <"/proc/$1/stat" || return 1
	read -ra stat <<<"${line##*) }"
	[[ ${stat[0]:-Z} != Z ]]
}

alive() { # name
	local pid start _
	read -r pid start _ 2>/dev/null <"$demo/$1.pid" || return 1
	read_stat "$pid" && [[ ${stat[19]} == "$start" ]]
}

# start runs a program in a session of its own, out of reach of the terminal's
# Ctrl-C: what ends first is our choice.
start() { # name program arguments...
	local name=$1 program
	program=$(readlink -f "$(PATH=$PATH:/usr/sbin type -P "$2")")
	shift 2
	setsid "$program" "$@" </dev/null >"$demo/$name.log" 2>&1 &
	remember "$name" $! "$program"
}

# find_members finds the processes of a service, in the array members: its process
# group, which outlives a leader that was killed, as far as they run the same
# program.
find_members() { # name
	local leader program process
	members=()
	read -r leader _ program 2>/dev/null <"$demo/$1.pid" || return 0
	for process in /proc/[0-9]*; do
		process=${process#/proc/}
		if read_stat "$process" && [[ ${stat[2]} == "$leader" ]] &&
			[[ $(readlink "/proc/$process/exe") == "$program"?(" (deleted)") ]]; then
			members+=("$process")
		fi
	done
	return 0
}

stop() { # name
	local signal=TERM deadline=$((SECONDS + 10))
	find_members "$1"
	while [[ ${#members[@]} -gt 0 ]]; do
		kill -"$signal" "${members[@]}" 2>/dev/null || true
		sleep 0.1
		((SECONDS < deadline)) || signal=KILL
		find_members "$1"
	done
	rm -f "$demo/$1.pid"
}

refuse_second_demo() {
	if alive demo; then
		echo "demo: one is running already (process $(cut -d' ' -f1 "$demo/demo.pid")): end it first" >&2
		exit 1
	fi
}

clean_up() {
	trap '' INT TERM HUP
	local name
	for name in "${services[@]}"; do
		stop "$name"
	done
	unmount
	rm -f "$demo/demo.pid"
}

unmount() {
	local command
	for command in "bin/regfs unmount --lazy" "fusermount3 -uz" "umount -l"; do
		mounted || return 0
		$command "$mount" 2>/dev/null || true # the next may do
	done
	if mounted; then
		echo "demo: $mount is still mounted" >&2
	fi
}

mounted() { grep -qF " ${mount// /\\040} " /proc/self/mountinfo; }

# ---- the steps -------------------------------------------------------------

# wait_for runs a command until it succeeds. It gives up when the service is
# gone or after 30 seconds, and then shows what the service said.
wait_for() { # name command...
	local name=$1 deadline=$((SECONDS + 30))
	shift
	until "$@" >/dev/null 2>&1; do
		if ! alive "$name" || ((SECONDS >= deadline)); then
			echo "demo: $name does not work. It said:" >&2
			tail -n 20 "$demo/$name.log" >&2
			exit 1
		fi
		sleep 0.05
	done
}

# free_port prints the port if nobody listens there, or else another.
free_port() { # port
	local port=$1
	while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
		port=$((20000 + RANDOM % 10000))
	done
	echo "$port"
}

start_registry() {
	registry=localhost:$(free_port 5000)
	cat >"$demo/registry.yml" <<-END
		version: 0.1
		log: {level: warn}
		storage:
		  filesystem: {rootdirectory: "$registry_data"}
		  delete: {enabled: true}
		http: {addr: "127.0.0.1:${registry#*:}"}
	END
	start registry docker-registry serve "$demo/registry.yml"
	wait_for registry curl -fsS --max-time 5 "http://127.0.0.1:${registry#*:}/v2/"
}

# make_v2 copies app/ and changes its colour and the version that it shows.
make_v2() { # folder
	rm -rf "$1"
	mkdir -p "$(dirname "$1")"
	cp -r app "$1"
	grep -rlZ -e '--hue: 155' "$1" | xargs -0 sed -i 's/--hue: 155/--hue: 300/'
	sed -i 's/id="version">v1</id="version">v2</' "$1/index.html"
}

publish() { # version folder
	bin/bundle "$1" --dir "$2" --out "$demo/images" --cache "$demo/bundle" >/dev/null
	bin/upload "$1" "$registry/my-app" --images "$demo/images" >"$demo/$1.reference"
}

start_mount() {
	own=127.0.0.1:$(free_port 9464)
	start regfs bin/regfs mount "$mount" --registry "http://$registry" --cache "$demo/cache" --listen "$own"
	wait_for regfs test -e "$mount/.regfs/ready"
}

start_nginx() {
	site=127.0.0.1:$(free_port 8080)
	local conf
	conf=$(<nginx/regfs.conf)
	conf=${conf/"listen 8080;"/"listen $site;"}
	conf=${conf/"root /mnt/sites\$regfs_place;"/"root \"$mount\$regfs_place\";"}
	echo "$conf" >"$demo/regfs.conf"
	mkdir -p "$demo/nginx"
	# The workers run as whoever mounted, so that they may enter this folder.
	{
		[[ $(id -u) != 0 ]] || echo "user root;"
		cat <<-END
			daemon off;
			worker_processes 8;
			pid "$demo/nginx/nginx.pid";
			error_log "$demo/nginx/error.log";
			events {}
			http {
			    include /etc/nginx/mime.types;
			    default_type application/octet-stream;
			    access_log "$demo/nginx/access.log";
			    client_body_temp_path "$demo/nginx/body";
			    proxy_temp_path "$demo/nginx/proxy";
			    fastcgi_temp_path "$demo/nginx/fastcgi";
			    uwsgi_temp_path "$demo/nginx/uwsgi";
			    scgi_temp_path "$demo/nginx/scgi";
			    include "$demo/regfs.conf";
			}
		END
	} >"$demo/nginx.conf"
	start nginx nginx -e "$demo/nginx/error.log" -c "$demo/nginx.conf"
	wait_for nginx curl -sS --max-time 5 "http://$site/"
}

stay() {
	local digest
	digest=$(sed 's/.*@//' "$demo/v1.reference")
	cat <<-END

		  all sites           http://$site/
		  version 1           http://$site/my-app/v1/
		  version 2           http://$site/my-app/v2/
		  version 1, for ever http://$site/my-app@$digest/
		  a host of its own   http://v2--my-app.sites.localhost:${site#*:}/
		  how it is doing     http://$own/metrics
		  as folders          ${mount#"$PWD"/}/my-app/
		  in the registry     http://$registry/v2/my-app/tags/list

		Ctrl-C ends it.
	END
	local name
	while :; do
		for name in "${services[@]}"; do
			if ! alive "$name"; then
				echo "demo: $name has ended. It said:" >&2
				tail -n 20 "$demo/$name.log" >&2
				exit 1
			fi
		done
		# A sleep in the background: a trap runs at once only during "wait".
		sleep 1 &
		wait $!
	done
}

# ---- CHECK=1 ---------------------------------------------------------------

check() {
	local digest count=0
	digest=$(sed 's/.*@//' "$demo/v1.reference")
	check_site my-app/v1 app
	check_site my-app/v2 "$demo/v2/app"
	check_site "my-app@$digest" app
	if cmp -s app/index.html "$demo/v2/app/index.html"; then
		echo "demo: v1 and v2 are the same" >&2
		exit 1
	fi
	echo "demo: $count files of v1, of v2 and of v1 by digest came through nginx as they are in their folders"
}

# check_site compares each file of a folder with what nginx serves, and the
# address of the site itself with its index. It counts in count.
check_site() { # site folder
	local name
	compare "http://$site/$1/" "$2/index.html"
	while IFS= read -r -d '' name; do
		compare "http://$site/$1/$name" "$2/$name"
		count=$((count + 1))
	done < <(cd "$2" && find . -type f -printf '%P\0' | sort -z)
}

compare() { # url file
	if ! curl -fsS --max-time 30 -o "$demo/fetched" "$1"; then
		echo "demo: $1 could not be fetched" >&2
		exit 1
	fi
	if ! cmp "$demo/fetched" "$2" >&2; then
		echo "demo: $1 is not what $2 holds" >&2
		exit 1
	fi
}

main
