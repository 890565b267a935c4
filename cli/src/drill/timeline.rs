//! A drill as a picture: who held the lease, where the payload was, and what was broken when.
//!
//! Time runs to the right, in bands of at most [`BAND_SECONDS`]. Each band has a row for the lease, one for each cluster, and one for acknowledged
//! writes. A solid bar is where the payload certainly was; its paler ends are where it may have been.

use std::fmt::Write as _;

use super::history::{Fault, History, Moment};
use super::judge::{self, Judgement};
use super::report::{self, TermSeen};

const WIDTH: f64 = 1180.0;
const LEFT: f64 = 116.0;
const RIGHT: f64 = 28.0;
const TOP: f64 = 84.0;
const ROW: f64 = 30.0;
const BAR: f64 = 18.0;
const WRITES: f64 = 16.0;
const FLAGS: f64 = 26.0;
const AXIS: f64 = 26.0;
const GAP: f64 = 18.0;
const LEGEND: f64 = 19.0;
/// What one band shows at most.
const BAND_SECONDS: f64 = 150.0;

/// Colours of the clusters, told apart also by those who don't see all colours.
const COLOURS: [&str; 6] = [
    "#2f6fb3", "#d9822b", "#2e9e73", "#8c5fb8", "#b5444a", "#6b7785",
];

/// Draws.
pub(crate) fn draw(history: &History, judgement: &Judgement) -> String {
    Picture::new(history).draw(judgement)
}

struct Picture<'a> {
    history: &'a History,
    bands: u32,
    /// Seconds of one band.
    span: f64,
    out: String,
}

impl<'a> Picture<'a> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a handful of bands
    fn new(history: &'a History) -> Self {
        let total = history.ended.seconds().max(1.0);
        let bands = (total / BAND_SECONDS).ceil().max(1.0);
        Self {
            history,
            bands: bands as u32,
            span: (total / bands).ceil(),
            out: String::new(),
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn band_height(&self) -> f64 {
        FLAGS + ROW * (self.history.clusters.len() as f64 + 1.0) + WRITES + AXIS + GAP
    }

    fn draw(mut self, judgement: &Judgement) -> String {
        #[allow(clippy::cast_precision_loss)]
        let legend = LEGEND * self.history.faults.len() as f64;
        let height = TOP + self.band_height() * f64::from(self.bands) + legend + 40.0;
        let _infallible = write!(
            self.out,
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif" font-size="11" fill="#4a5361">
<defs><pattern id="fault" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="6" height="6" fill="#c8372d" fill-opacity="0.10"/><rect width="2" height="6" fill="#c8372d" fill-opacity="0.28"/></pattern><pattern id="beyond" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)"><rect width="2.4" height="5" fill="#ffffff" fill-opacity="0.55"/></pattern></defs>
<rect width="100%" height="100%" rx="10" fill="#ffffff"/>
"##
        );
        self.head(judgement);
        for band in 0..self.bands {
            self.band(band);
        }
        self.legend(
            judgement,
            TOP + self.band_height() * f64::from(self.bands) + 12.0,
        );
        self.out.push_str("</svg>\n");
        self.out
    }

    fn head(&mut self, judgement: &Judgement) {
        let history = self.history;
        self.text(
            28.0,
            36.0,
            "",
            19,
            "#1d2430",
            "font-weight=\"600\"",
            &format!("Who led when: {}", history.group),
        );
        let about = format!(
            "{} mode, T = {} s, seed {}, {:.0} s, begun {}",
            report::mode(history),
            history.lease_seconds,
            history.seed,
            history.ended.seconds(),
            history.wall
        );
        self.text(28.0, 56.0, "", 12, "#6a7482", "", &about);
        let (paint, word) = if judgement.holds() {
            ("#2e7d4f", report::verdict(judgement))
        } else {
            ("#c8372d", report::verdict(judgement))
        };
        let width = 150.0;
        let x = WIDTH - RIGHT - width;
        self.rect(x, 22.0, width, 26.0, 13.0, &format!("fill=\"{paint}\""), "");
        self.text(
            x + width / 2.0,
            39.0,
            "middle",
            12,
            "#ffffff",
            "font-weight=\"600\"",
            word,
        );
    }

    fn band(&mut self, band: u32) {
        let history = self.history;
        let top = TOP + f64::from(band) * self.band_height();
        let rows = top + FLAGS;
        let mut names = vec!["lease".to_owned()];
        names.extend(history.clusters.iter().cloned());
        let mut y = rows;
        for (index, name) in names.iter().enumerate() {
            let ground = if index % 2 == 0 { "#f4f6f8" } else { "#fafbfc" };
            self.rect(
                LEFT,
                y,
                WIDTH - LEFT - RIGHT,
                ROW,
                0.0,
                &format!("fill=\"{ground}\""),
                "",
            );
            let paint = if index == 0 {
                "#6a7482"
            } else {
                self.colour(name)
            };
            self.text(
                LEFT - 10.0,
                y + ROW / 2.0 + 4.0,
                "end",
                12,
                paint,
                "font-weight=\"600\"",
                name,
            );
            y += ROW;
        }
        self.text(
            LEFT - 10.0,
            y + WRITES / 2.0 + 4.0,
            "end",
            10,
            "#8a93a0",
            "",
            "writes",
        );
        self.axis(band, rows, y + WRITES);
        for fault in &history.faults {
            self.fault(band, fault, rows);
        }
        for term in report::terms(history) {
            self.term(band, &term, rows);
        }
        let terms = report::terms(history);
        for stay in judge::stays(history) {
            let y = self.row_of(&stay.cluster, rows) + (ROW - BAR) / 2.0;
            let paint = self.colour(&stay.cluster);
            let token = stay
                .token
                .map_or_else(|| "?".to_owned(), |token| token.to_string());
            let title = format!("payload in {}, token {token}", stay.cluster);
            self.bar(
                band,
                stay.maybe_from,
                stay.maybe_to,
                y,
                BAR,
                &format!("fill=\"{paint}\" fill-opacity=\"0.35\""),
                &title,
                "",
            );
            self.bar(
                band,
                stay.from,
                stay.to,
                y,
                BAR,
                &format!("fill=\"{paint}\""),
                &title,
                &token,
            );
            // What is there beyond its term.
            let term = terms.iter().find(|term| Some(term.token) == stay.token);
            if let Some(over) = term.and_then(|term| term.over) {
                let title = format!("{title}, beyond its term");
                self.bar(
                    band,
                    over.max(stay.from),
                    stay.to,
                    y,
                    BAR,
                    "fill=\"url(#beyond)\"",
                    &title,
                    "",
                );
            }
        }
        for write in &history.writes {
            if let Some(x) = self.x(band, write.answered) {
                let paint = self.colour(&write.cluster);
                self.rect(
                    x,
                    y + 4.0,
                    1.2,
                    WRITES - 8.0,
                    0.0,
                    &format!("fill=\"{paint}\" fill-opacity=\"0.75\""),
                    "",
                );
            }
        }
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // seconds of a band
    fn axis(&mut self, band: u32, top: f64, bottom: f64) {
        let step: u32 = match self.span {
            span if span <= 30.0 => 2,
            span if span <= 75.0 => 5,
            _ => 10,
        };
        let from = f64::from(band) * self.span;
        let first = (from / f64::from(step)).ceil() as u32;
        let last = ((from + self.span) / f64::from(step)).floor() as u32;
        for tick in first..=last {
            let seconds = f64::from(tick * step);
            let x = self.across(seconds - from);
            let _infallible = writeln!(
                self.out,
                r##"<line x1="{x:.1}" x2="{x:.1}" y1="{top:.1}" y2="{bottom:.1}" stroke="#dfe4ea" stroke-width="1"/>"##
            );
            self.text(
                x,
                bottom + 14.0,
                "middle",
                10,
                "#8a93a0",
                "",
                &format!("{seconds} s"),
            );
        }
    }

    fn fault(&mut self, band: u32, fault: &Fault, rows: f64) {
        let title = format!("round {}: {}", fault.round, fault.what());
        #[allow(clippy::cast_precision_loss)]
        let (y, height) = match &fault.cluster {
            Some(cluster) => (self.row_of(cluster, rows), ROW),
            None => (rows + ROW, ROW * self.history.clusters.len() as f64),
        };
        // What was over at once is still to be seen.
        let ended = fault.ended.max(fault.began.plus(0.4));
        self.bar(
            band,
            fault.began,
            ended,
            y,
            height,
            "fill=\"url(#fault)\"",
            &title,
            "",
        );
        let Some(x) = self.x(band, fault.began) else {
            return;
        };
        let (flag, bottom) = (rows - 11.0, y + height);
        let _infallible = writeln!(
            self.out,
            r##"<line x1="{x:.1}" x2="{x:.1}" y1="{flag:.1}" y2="{bottom:.1}" stroke="#c8372d" stroke-width="1.2" stroke-dasharray="3 2"/><circle cx="{x:.1}" cy="{flag:.1}" r="8.5" fill="#c8372d"/>"##
        );
        self.text(
            x,
            flag + 3.8,
            "middle",
            10,
            "#ffffff",
            "font-weight=\"700\"",
            &fault.round.to_string(),
        );
    }

    fn term(&mut self, band: u32, term: &TermSeen<'_>, rows: f64) {
        let paint = self.colour(term.holder);
        let over = term.over.unwrap_or(self.history.ended);
        let title = format!("{} holds the lease at token {}", term.holder, term.token);
        let y = rows + (ROW - 8.0) / 2.0;
        self.bar(
            band,
            term.at,
            over,
            y,
            8.0,
            &format!("fill=\"{paint}\" fill-opacity=\"0.85\""),
            &title,
            "",
        );
    }

    fn legend(&mut self, judgement: &Judgement, top: f64) {
        let mut y = top;
        for fault in &self.history.faults {
            let _infallible = writeln!(
                self.out,
                r##"<circle cx="36" cy="{y:.1}" r="8.5" fill="#c8372d"/>"##
            );
            self.text(
                36.0,
                y + 3.8,
                "middle",
                10,
                "#ffffff",
                "font-weight=\"700\"",
                &fault.round.to_string(),
            );
            let takeover = judgement
                .takeovers
                .iter()
                .find(|takeover| takeover.round == fault.round)
                .map_or_else(String::new, |takeover| {
                    format!(
                        "; the payload is in {} after {:.2} s",
                        takeover.to, takeover.seconds
                    )
                });
            let line = format!(
                "{}, for {:.1} s{takeover}",
                fault.what(),
                fault.ended.since(fault.began)
            );
            self.text(54.0, y + 4.0, "", 12, "#39424f", "", &line);
            y += LEGEND;
        }
        let note = "Bars are the payload, with the term's token; pale ends: it may have been there. Striped: beyond its term. Hatched: what was broken, and how long. \
                    Ticks below: acknowledged writes to a shared object.";
        self.text(28.0, y + 8.0, "", 10, "#8a93a0", "", note);
    }

    // --- where things lie

    fn colour(&self, cluster: &str) -> &'static str {
        let clusters = &self.history.clusters;
        let place = clusters.iter().position(|name| name == cluster);
        COLOURS[place.unwrap_or(COLOURS.len() - 1) % COLOURS.len()]
    }

    #[allow(clippy::cast_precision_loss)]
    fn row_of(&self, cluster: &str, rows: f64) -> f64 {
        let clusters = &self.history.clusters;
        let place = clusters.iter().position(|name| name == cluster);
        rows + ROW * (place.unwrap_or_default() as f64 + 1.0)
    }

    /// Where so many seconds after a band's beginning are.
    fn across(&self, seconds: f64) -> f64 {
        LEFT + seconds / self.span * (WIDTH - LEFT - RIGHT)
    }

    /// Where a moment is, if it is in a band.
    fn x(&self, band: u32, at: Moment) -> Option<f64> {
        let seconds = at.seconds() - f64::from(band) * self.span;
        (0.0..self.span)
            .contains(&seconds)
            .then(|| self.across(seconds))
    }

    /// The part of a time that lies in a band, with a label if there is room.
    #[allow(clippy::too_many_arguments)] // a rectangle in time
    fn bar(
        &mut self,
        band: u32,
        from: Moment,
        to: Moment,
        y: f64,
        height: f64,
        style: &str,
        title: &str,
        label: &str,
    ) {
        let begin = f64::from(band) * self.span;
        let start = (from.seconds() - begin).max(0.0);
        let end = (to.seconds() - begin).min(self.span);
        if end <= start {
            return;
        }
        let (x, x_end) = (self.across(start), self.across(end));
        let width = (x_end - x).max(1.0);
        self.rect(x, y, width, height, 2.5_f64.min(width / 2.0), style, title);
        #[allow(clippy::cast_precision_loss)]
        let needed = label.len() as f64 * 7.0 + 8.0;
        if !label.is_empty() && width > needed {
            self.text(
                x + 6.0,
                y + height / 2.0 + 4.0,
                "",
                11,
                "#ffffff",
                "font-weight=\"600\"",
                label,
            );
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn rect(
        &mut self,
        x: f64,
        y: f64,
        width: f64,
        height: f64,
        radius: f64,
        style: &str,
        title: &str,
    ) {
        let _infallible = if title.is_empty() {
            writeln!(
                self.out,
                r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="{radius:.1}" {style}/>"#
            )
        } else {
            let title = escape(title);
            writeln!(
                self.out,
                r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="{radius:.1}" {style}><title>{title}</title></rect>"#
            )
        };
    }

    #[allow(clippy::too_many_arguments)]
    fn text(
        &mut self,
        x: f64,
        y: f64,
        anchor: &str,
        size: u32,
        paint: &str,
        style: &str,
        text: &str,
    ) {
        let anchor = if anchor.is_empty() { "start" } else { anchor };
        let text = escape(text);
        let _infallible = writeln!(
            self.out,
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" font-size="{size}" fill="{paint}" {style}>{text}</text>"#
        );
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other if other.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    out
}
