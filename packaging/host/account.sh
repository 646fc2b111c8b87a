# The account that the service runs as: made, or, if it is there, looked at. One that this package did not make is never
# taken over: whoever has it would run the service, read its state and be given its secrets. $1 is another root, or nothing.
# Part of the packages' scripts (build.py, securescore.spec); no percent signs, which rpm would expand.
securescore_account() (
    root=$1
    of() {
        if [ -n "$root" ]; then grep '^securescore:' "$root/etc/$1" || :; else getent "$1" securescore || :; fi
    }
    field() { echo "$1" | cut -d: -f"$2"; }
    refuse() {
        echo "secure-score-connector: the $1 securescore is there already and is none that this package makes: $2." >&2
        echo "Rename or remove it, then install again." >&2
        exit 1
    }
    system() { [ "$1" -gt 0 ] && [ "$1" -lt 1000 ]; }
    user=$(of passwd)
    group=$(of group)
    if [ -n "$group" ]; then
        system "$(field "$group" 3)" || refuse group "its number is not that of a system group"
        [ -n "$user" ] || [ -z "$(field "$group" 4)" ] || refuse group "it has members"
    else
        [ -z "$user" ] || refuse user "its group is another"
        groupadd ${root:+--prefix "$root/"} --system securescore
    fi
    if [ -z "$user" ]; then
        shell=/usr/sbin/nologin
        [ -e "$root$shell" ] || shell=/sbin/nologin
        useradd ${root:+--prefix "$root/"} --system --gid securescore \
            --home-dir /nonexistent --no-create-home --shell "$shell" securescore
        exit 0
    fi
    system "$(field "$user" 3)" || refuse user "its number is not that of a system account"
    [ "$(field "$user" 4)" = "$(field "$group" 3)" ] || refuse user "its group is another"
    [ "$(field "$user" 6)" = /nonexistent ] || refuse user "it has a home"
    case $(field "$user" 7) in */nologin | */false) ;; *) refuse user "it has a shell" ;; esac
    password=$(of shadow)
    case $(field "${password:-$user}" 2) in '!'* | '*'* | x) ;; *) refuse user "its password is not locked" ;; esac
)
