//! `sereno rules check`: what a server would say about rule files and scripts, without a server.

use crate::args::Checked;
use crate::{Context, Stop};

pub(crate) fn check(_args: &Checked, _context: &mut Context<'_>) -> Result<(), Stop> {
    Ok(())
}
