//! temporary
use clap::Parser as _;
#[derive(clap::Parser)]
struct Cli { #[command(flatten)] demo: nidbridge::commands::demo::DemoArgs }
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let c = Cli::parse();
    if std::env::vars_os().any(|(k,_)| k == "LOGS") { tracing_subscriber::fmt().with_env_filter("info").with_writer(std::io::stderr).init(); }
    let a = nidbridge::commands::demo::run(&c.demo, tokio_util::sync::CancellationToken::new()).await?;
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{}", nidbridge::commands::demo::json(&a)?)?;
    Ok(())
}
