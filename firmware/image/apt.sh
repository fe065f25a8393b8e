# Sourced by what fetches packages: apt with lists of its own, whatever this machine has
# installed. The archive is the one that the machine uses.
own_apt() { # own_apt ARCH
	local apt=$cache/apt-$1 keyring=/usr/share/keyrings/debian-archive-keyring.gpg site security
	# shellcheck disable=SC2016 # apt fills these in
	site=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null)
	security=$(awk '$1 ~ /-security$/ { print $2; exit }' <<<"$site")
	site=$(awk '$1 == "bookworm" || $1 == "stable" { print $2; exit }' <<<"$site")
	[ -n "$site" ] && [ -n "$security" ] || fail "apt knows no archive of Debian bookworm and its security updates (see sources.list(5))"
	[ -e $keyring ] || fail "apt-get install debian-archive-keyring"
	mkdir -p "$apt"/{lists,cache/archives}/partial
	: >"$apt/status"
	cat >"$apt/sources.list" <<-END
		deb [signed-by=$keyring] $site bookworm main
		deb [signed-by=$keyring] $site bookworm-updates main
		deb [signed-by=$keyring] $security bookworm-security main
	END
	cat >"$apt/apt.conf" <<-END
		Dir::State::lists "$apt/lists";
		Dir::State::status "$apt/status";
		Dir::Cache "$apt/cache";
		Dir::Etc::sourcelist "$apt/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		APT::Architecture "$1";
		APT::Architectures { "$1"; };
		APT::Install-Recommends "false";
		APT::Update::Post-Invoke-Success "";
		APT::Update::Error-Mode "any";
		APT::Sandbox::User "";
		Acquire::Languages "none";
		Acquire::Retries "2";
	END
	export APT_CONFIG=$apt/apt.conf
	apt-get -qq update || fail "no lists of packages: can apt reach the archive?"
}
