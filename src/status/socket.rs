//! The control socket: where operators' verbs come through without a token, for whoever may connect to it is the same
//! user or root.

use std::path::PathBuf;

/// Its name in the directory of the system or the user.
const NAME: &str = "leeward.sock";

/// Where it is unless the configuration says otherwise: `$RUNTIME_DIRECTORY` is systemd's, `$XDG_RUNTIME_DIR` a user's.
pub fn usual() -> Option<PathBuf> {
    let of = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let root = || rustix::process::geteuid().is_root();
    of("RUNTIME_DIRECTORY")
        .or_else(|| root().then(|| PathBuf::from("/run")))
        .or_else(|| of("XDG_RUNTIME_DIR"))
        .map(|directory| directory.join(NAME))
}

/// Where a running Leeward's may be, for one who asks from another shell: the service's first.
pub fn likely() -> impl Iterator<Item = PathBuf> {
    let service = PathBuf::from("/run/leeward").join(NAME);
    std::iter::once(service).chain(usual())
}
