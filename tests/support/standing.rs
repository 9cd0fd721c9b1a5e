//! With which rights a program of a test runs: as which user, and with what of /proc.

use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use super::Skip;
use super::origin::ailing;

/// Who a program is, and what it may see.
#[derive(Clone)]
pub struct Standing {
    /// What is run before the program, and becomes it.
    words: Vec<String>,
    user: Option<u32>,
}

impl Standing {
    /// That of the test itself.
    pub fn own() -> Standing {
        Standing {
            words: Vec::new(),
            user: None,
        }
    }

    /// This user, in no group but its own, without a privilege.
    pub fn user(uid: u32) -> Result<Standing, Skip> {
        Standing {
            words: become_user(uid),
            user: Some(uid),
        }
        .tried()
    }

    /// The same, with the two privileges that a look into other users' processes takes.
    pub fn user_that_may_look(uid: u32) -> Result<Standing, Skip> {
        Standing::privileged(uid, "+sys_ptrace,+dac_read_search")
    }

    /// The same, with one of them: it lists what there is and opens none of it.
    pub fn user_that_may_list(uid: u32) -> Result<Standing, Skip> {
        Standing::privileged(uid, "+dac_read_search")
    }

    fn privileged(uid: u32, privileges: &str) -> Result<Standing, Skip> {
        let mut standing = Standing::user(uid)?;
        standing
            .words
            .retain(|word| !word.starts_with("--inh-caps") && word != "--no-new-privs");
        for option in ["--inh-caps", "--ambient-caps"] {
            standing.words.push(format!("{option}={privileges}"));
        }
        standing.tried()
    }

    /// That of the test itself, in this control group.
    pub fn in_group(group: &Path) -> Standing {
        let script = "echo $$ > \"$0/cgroup.procs\" && exec \"$@\"";
        let group = group.display().to_string();
        Standing {
            words: vec!["sh".to_owned(), "-c".to_owned(), script.to_owned(), group],
            user: None,
        }
    }

    /// That of the test itself, which finds the programs of this directory first.
    pub fn with_programs(directory: &Path) -> Standing {
        let path = std::env::var("PATH").unwrap_or_default();
        Standing {
            words: vec![
                "env".to_owned(),
                format!("PATH={}:{path}", directory.display()),
            ],
            user: None,
        }
    }

    /// The same, where /proc shows a user nothing of others.
    pub fn kept_to_itself(uid: u32) -> Result<Standing, Skip> {
        Standing::behind("mount -t proc -o hidepid=2 proc /proc", uid)
    }

    /// The same, where there is nothing in /proc.
    pub fn without_proc(uid: u32) -> Result<Standing, Skip> {
        Standing::behind("mount -t tmpfs -o mode=755 none /proc", uid)
    }

    /// Root, which may become others but look into none, where /proc shows nothing of others.
    pub fn as_root_that_may_not_look(uid: u32) -> Result<Standing, Skip> {
        let mut standing = Standing::kept_to_itself(uid)?;
        standing.words.truncate(6);
        let may = "-all,+setuid,+setgid,+kill,+chown,+dac_override,+fowner";
        // The group root is spared by hidepid.
        let group = uid.to_string();
        let words = [
            "setpriv",
            "--regid",
            &group,
            "--clear-groups",
            "--bounding-set",
            may,
        ];
        standing.words.extend(words.map(str::to_owned));
        standing.words.push("--inh-caps=-all".to_owned());
        standing.user = None;
        standing.tried()
    }

    fn behind(mount: &str, uid: u32) -> Result<Standing, Skip> {
        let script = format!("{mount} && exec \"$@\"");
        let words = ["unshare", "--mount", "sh", "-c", &script, "sh"];
        let words = words.into_iter().map(str::to_owned);
        Standing {
            words: words.chain(become_user(uid)).collect(),
            user: Some(uid),
        }
        .tried()
    }

    /// What runs `program` so.
    pub fn command(&self, program: &Path) -> Command {
        let Some((first, more)) = self.words.split_first() else {
            return Command::new(program);
        };
        let mut command = Command::new(first);
        command.args(more).arg(program);
        command
    }

    /// Makes it the owner of a file.
    pub fn give(&self, path: &Path) {
        if let Some(uid) = self.user {
            chown(path, Some(uid), Some(uid)).expect("root may give files away");
        }
    }

    /// Whether this machine lets a program run so; one that was built where nobody else may go cannot.
    fn tried(self) -> Result<Standing, Skip> {
        if !rustix::process::geteuid().is_root() {
            return Err(Skip("running as other users needs root".to_owned()));
        }
        let output = self.command(&ailing()).output();
        let output = output.map_err(|error| Skip(format!("{}: {error}", self.words[0])))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // It ran, and asks for its address.
        match said.contains("--listen ADDR is needed") {
            true => Ok(self),
            false => Err(Skip(said)),
        }
    }
}

fn become_user(uid: u32) -> Vec<String> {
    let uid = uid.to_string();
    let words = [
        "setpriv",
        "--reuid",
        &uid,
        "--regid",
        &uid,
        "--clear-groups",
    ];
    let dropped = ["--inh-caps=-all", "--no-new-privs"];
    words
        .iter()
        .chain(&dropped)
        .map(|word| (*word).to_owned())
        .collect()
}
