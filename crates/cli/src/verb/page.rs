//! `brant page`: the cluster as a page for a browser, which loads itself anew.

use super::{nodes, ps};
use anyhow::{Context, Result};
use brant_types::agent::ClusterView;
use brant_types::migration::ProcessView;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Arguments of `brant page`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where the page goes [default: standard output].
    file: Option<PathBuf>,
    /// Write it again and again, after this many seconds each; ends with Ctrl-C.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600), requires = "file")]
    every: Option<u64>,
}

/// Writes the page.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    loop {
        let page = page(arguments.every);
        let Some(file) = &arguments.file else {
            std::io::stdout().write_all(page?.as_bytes()).context("printing")?;
            return Ok(ExitCode::SUCCESS);
        };
        let Some(seconds) = arguments.every else {
            replace(file, &page?)?;
            return Ok(ExitCode::SUCCESS);
        };
        // A daemon that is just being started answers next time; until then the page says what is wrong.
        let page = page.unwrap_or_else(|error| excuse(&format!("{error:#}"), seconds));
        if let Err(error) = replace(file, &page) {
            eprintln!("brant: {error:#}");
        }
        std::thread::sleep(Duration::from_secs(seconds));
    }
}

fn page(every: Option<u64>) -> Result<String> {
    let view = crate::ask::agent()?;
    Ok(render(&view, &ps::living()?, every))
}

/// A browser that loads the file at any moment sees a whole page.
fn replace(file: &Path, page: &str) -> Result<()> {
    let writing = || format!("writing `{}`", file.display());
    let half = file.with_extension("new");
    fs::write(&half, page).with_context(writing)?;
    fs::rename(&half, file).with_context(writing)
}

fn render(view: &ClusterView, processes: &[ProcessView], every: Option<u64>) -> String {
    let mut body = format!("<h1>Cluster {}</h1>\n", escape(&view.cluster));
    let rows: Vec<Vec<String>> = view.nodes.iter().map(nodes::row).collect();
    body += &table(&nodes::HEADS, &nodes::NUMBERS, &rows);
    body += "<h2>Processes that have moved from here, or to here</h2>\n";
    let rows: Vec<Vec<String>> = processes.iter().map(ps::row).collect();
    body += &if rows.is_empty() {
        "<p>None. What computes for more than three seconds moves by itself.</p>\n".to_owned()
    } else {
        table(&ps::HEADS, &ps::NUMBERS, &rows)
    };
    document(&view.cluster, &body, every)
}

fn excuse(error: &str, seconds: u64) -> String {
    document("Brant", &format!("<h1>Brant</h1>\n<p>{}</p>\n", escape(error)), Some(seconds))
}

fn document(title: &str, body: &str, every: Option<u64>) -> String {
    let again = every
        .map_or_else(String::new, |seconds| format!("<meta http-equiv=\"refresh\" content=\"{seconds}\">\n"));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n{again}<title>{}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n",
        escape(title)
    )
}

const STYLE: &str = "body { font-family: sans-serif; font-size: 0.85em; margin: 2em; color: #222; background: #fff }\n\
table { border-collapse: collapse }\n\
th, td { padding: 0.3em 0.7em; white-space: nowrap; text-align: left; border-bottom: 1px solid #ccc }\n\
th { background: #eef }\n\
.number { text-align: right }\n";

fn table(heads: &[&str], numbers: &[usize], rows: &[Vec<String>]) -> String {
    let mut text = String::from("<table>\n");
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    for (tag, row) in std::iter::once(("th", &heads)).chain(rows.iter().map(|row| ("td", row))) {
        text += "<tr>";
        for (column, cell) in row.iter().enumerate() {
            let class = if numbers.contains(&column) { " class=\"number\"" } else { "" };
            // Writing to a text cannot fail.
            let _always = write!(text, "<{tag}{class}>{}</{tag}>", escape(cell));
        }
        text += "</tr>\n";
    }
    text + "</table>\n"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_is_called_cannot_add_to_the_page() {
        let row = vec!["<script>\"&".to_owned(), "7".to_owned()];
        let text = table(&["COMMAND", "PID"], &[1], &[row]);
        assert!(text.contains("<td>&lt;script&gt;&quot;&amp;</td><td class=\"number\">7</td>"), "{text}");
    }

    #[test]
    fn only_a_page_that_is_written_again_loads_itself_again() {
        assert!(document("x", "", Some(5)).contains("content=\"5\""));
        assert!(!document("x", "", None).contains("refresh"));
        assert!(excuse("a < b", 5).contains("a &lt; b"));
    }
}
