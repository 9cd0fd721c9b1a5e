//! The `leeward` program: command line → one command → exit code.

fn main() -> std::process::ExitCode {
    leeward::cli::main()
}
