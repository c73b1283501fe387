# What the scripts need on a machine, sourced by them: finds the repository, and installs what is missing.
# shellcheck shell=bash
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$root/target}"
if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
  export PATH="$HOME/.cargo/bin:$PATH"
fi

say() { printf '\033[2m== %s\033[0m\n' "$*" >&2; }
fail() { printf '%s\n' "$*" >&2; exit 1; }

# Installs a Debian package where a command is missing; needs root.
need_command() { # command, Debian package
  if command -v "$1" >/dev/null; then return 0; fi
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing $2"
    (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2") >&2 || return 1
  fi
  command -v "$1" >/dev/null
}

need_rust() {
  command -v cargo >/dev/null || fail "cargo is missing: install Rust with rustup, stable toolchain"
  need_command cc gcc || fail "a C linker (cc) is missing: install gcc"
  if ! [ -d "$(rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown" ]; then
    say "adding the target wasm32-unknown-unknown"
    rustup target add wasm32-unknown-unknown >&2
  fi
  keep_dates crates/eyas-regex crates/*-stub
}

# Cargo goes by dates, and in a fresh clone every file is new. Burn depends on these crates and would be compiled again with them, so their files get
# the date at which this target folder first saw this content. Their tests are not part of what Burn sees.
keep_dates() { # folders
  local folder stamp sum
  for folder in "$@"; do
    stamp="$CARGO_TARGET_DIR/.content-dates/${folder##*/}"
    sum="$(cd "$folder" && find . -type f -not -path './tests/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)"
    if [ "$(grep -v '  \./tests/' "$stamp" 2>/dev/null)" != "$sum" ]; then
      mkdir -p "${stamp%/*}"
      printf '%s\n' "$sum" > "$stamp"
    fi
    find "$folder" -type f -exec touch -r "$stamp" {} +
  done
}

# Installs a folder's npm packages as its lock file says, once per state of the lock file (and of the files given after it).
npm_ci() { # folder, other files that the installation depends on
  local folder="$1" stamp="$1/node_modules/.installed" now
  shift
  command -v npm >/dev/null || fail "npm is missing: install Node.js 20 or later"
  now="$(cat "$folder/package-lock.json" "$@" | sha256sum)"
  if [ "$(cat "$stamp" 2>/dev/null)" != "$now" ]; then
    say "npm ci in $folder"
    (cd "$folder" && npm ci --no-audit --no-fund --loglevel=error >&2)
    echo "$now" > "$stamp"
  fi
}
