//! The `leeward` program: command line → one command → exit code.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
