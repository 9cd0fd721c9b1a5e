//! Times and sizes that nobody sets, and that bounds are made of: where they are used and where `leeward check` adds them
//! up, they are the same.

use std::time::Duration;

/// Between two looks at the process while nothing is wrong; each costs some tens of microseconds.
pub const CALM: Duration = Duration::from_millis(500);
/// The same while something is.
pub const ALERT: Duration = Duration::from_millis(100);
/// A silence shorter than this is no reason to look closer.
pub const NOTICED: Duration = Duration::from_millis(300);
/// A close look is given this long, and as long again to be heard of.
pub const EXAMINING: Duration = Duration::from_millis(500);
/// A wait must have been seen to go on for this part of `hang.certain`, beside the silence itself.
pub const PROOF: u32 = 3;
/// A process that spins must keep silent for so many times `hang.silent`.
pub const SPINS: u32 = 3;

/// Looking may take this long, then the incident is written with what was seen.
pub const LOOKING: Duration = Duration::from_secs(2);
/// For what was found to be heard of.
pub const FOUND: Duration = Duration::from_millis(200);
/// Writing may take this long; a dead disk must not keep a hung origin alive.
pub const WRITING: Duration = Duration::from_secs(2);
/// The same for what a hook said: the hook has taken its time already.
pub const AMENDING: Duration = Duration::from_millis(200);
/// What a process wrote just before its end may still be on its way to us.
pub const LAST_WORDS: Duration = Duration::from_millis(50);
/// For the whole proof of what the origin has not read, which takes some milliseconds: on a host with thirty processes for
/// each processor it took more than half a second, and a wait is better than a request that is lost.
pub const PROVING: Duration = Duration::from_secs(2);
/// For the edge threads to reset the connections of visits that ended.
pub const RESETTING: Duration = Duration::from_millis(200);
/// For either of the two to be heard of.
pub const PROVEN: Duration = Duration::from_millis(100);
/// After KILL, only the kernel can still hold a process.
pub const KILLED: Duration = Duration::from_secs(5);
/// How long the port of an ended generation may stay taken before that is told as a fault.
pub const PORT_PATIENCE: Duration = Duration::from_secs(1);
/// A wait between two starts is spread by so many hundredths either way.
pub const SPREAD_PERCENT: u32 = 10;
/// On top of the origin's own grace and of a hook, when Leeward ends: evidence, KILL, the reaping, and hooks that tell of it.
pub const BURIAL: Duration = Duration::from_secs(14);

/// For the watch to notice that a connection broke because the process died. A dying process may close its listener
/// last, and whoever asks again at once is taken into its queue and dies with it.
pub const NOTICING: Duration = Duration::from_millis(100);
/// An answer is given to the client no later than this after the first byte of its body, however much of it there is. A head
/// alone is not: it is of little use, and once it is shown, the answer cannot be asked for again.
pub const COMMIT_AFTER: Duration = Duration::from_millis(50);

/// Slots of an origin found to be concurrent: more than a machine of its kind will keep busy.
pub const MANY: usize = 128;
/// What h2 buffers of a stream before the client's window opens, and what each request under way is reckoned at for it.
pub const SENDING: usize = 64 << 10;
/// Bytes of one body on their way to the disk and from it.
pub const ON_THE_WAY: usize = 640 << 10;
/// Bytes between the origin and the client of one declared stream.
pub const WINDOW: usize = 256 << 10;
