# shellcheck shell=bash
# What deploy/demo and deploy/test need on a fresh Debian or Ubuntu. Sourced, never run.
#
# Everything it says goes to stderr: stdout belongs to the command. No service is started: a package that brings one
# is installed with starting forbidden, and is switched off so that the next boot does not start it either.

readonly RUST_NEEDED=1.95
readonly EX_UNAVAILABLE=69

say() { printf '%s\n' "$*" >&2; }

die() {
  say "$(basename "$0"): $*"
  exit "$EX_UNAVAILABLE"
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  else
    sudo "$@"
  fi
}

# Packages that are missing, one on each line. "test" asks for what only the tests need, too.
missing_packages() {
  command -v cc >/dev/null || printf 'gcc\nlibc6-dev\n'
  [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || echo rabbitmq-server
  if [ "$1" = test ]; then
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || echo postgresql
  fi
}

readonly POLICY=/usr/sbin/policy-rc.d

# Whether the policy that forbids starting is the one that we have put there.
ours() { grep -qs 'put here by nidbridge' "$POLICY"; }

# Forbids starting services, as Debian's policy-rc.d does it; a policy that is there is kept and put back.
forbid_starting() {
  if [ -e "$POLICY" ] && ! ours; then
    as_root mv "$POLICY" "$POLICY.kept-by-nidbridge"
  fi
  printf '#!/bin/sh\n# put here by nidbridge while it installs packages\nexit 101\n' | as_root tee "$POLICY" >/dev/null
  as_root chmod 755 "$POLICY"
}

allow_starting() {
  if ours; then
    as_root rm -f "$POLICY"
  fi
  if [ -e "$POLICY.kept-by-nidbridge" ]; then
    as_root mv "$POLICY.kept-by-nidbridge" "$POLICY"
  fi
}

install_packages() (
  trap allow_starting EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  forbid_starting
  apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
  as_root "${apt[@]}" update >&2 || exit
  as_root "${apt[@]}" install -y --no-install-recommends "$@" >&2 || exit
  if command -v systemctl >/dev/null; then
    for service in "$@"; do
      case $service in
        rabbitmq-server | postgresql) as_root systemctl disable --quiet "$service" >&2 2>/dev/null || true ;;
      esac
    done
  fi
)

ensure_packages() {
  local packages
  mapfile -t packages < <(missing_packages "$1")
  [ "${#packages[@]}" -gt 0 ] || return 0
  command -v apt-get >/dev/null ||
    die "this is neither Debian nor Ubuntu: install what brings ${packages[*]} there, then run this again"
  if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
    die "missing: ${packages[*]}. Run as root: apt-get install -y --no-install-recommends ${packages[*]}"
  fi
  say "installing ${packages[*]} (no service is started)"
  install_packages "${packages[@]}" || die "${packages[*]} could not be installed; what apt says is above"
  mapfile -t packages < <(missing_packages "$1")
  [ "${#packages[@]}" -eq 0 ] || die "installed, but still missing: ${packages[*]}"
}

ensure_cargo() {
  command -v cargo >/dev/null || PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
  command -v cargo >/dev/null ||
    die "Rust is missing: install rustup, then \`rustup toolchain install stable\`"
  local version
  version=$(cargo --version | cut -d ' ' -f 2)
  if [ "$(printf '%s\n' "$RUST_NEEDED" "$version" | sort -V | head -n 1)" != "$RUST_NEEDED" ]; then
    die "Rust $RUST_NEEDED or newer is needed, this is $version: \`rustup update stable\`"
  fi
}

target_directory() {
  cargo metadata --format-version 1 --no-deps --locked --manifest-path "$1/Cargo.toml" |
    grep -o '"target_directory":"[^"]*"' | cut -d '"' -f 4
}
