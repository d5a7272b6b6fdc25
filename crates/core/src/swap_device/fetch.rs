//! Reading pages from the device, wherever they are there: slots of their own, and units, each of
//! which is read once for all its pages. Planned under the lock, while the pages are busy, so that
//! neither slot nor unit can go.

use super::seal::{Identity, Tag};
use super::swap_map::{Slot, SwapMap};
use super::transfer::read_pages;
use super::unit_map::Packed;
use crate::loss::Loss;
use crate::page::{BATCH_MAX, PAGE_BYTES, Page, PageNumber, bytes_of};
use crate::page_table::Backing;
use crate::world::World;
use crate::zcache::codec::{Compressor, Corrupt};
use crate::zcache::pool::ZpageHeader;
use crate::zcache::pool::layout::UnitLayout;

#[derive(Clone, Copy)]
struct Piece {
    identity: Identity,
    tag: Tag,
    /// Where it begins in the batch that is read, in pages.
    at: usize,
    /// `None`: a page by itself.
    layout: Option<UnitLayout>,
    result: Result<(), Loss>,
}

/// Where a page will be found in what is fetched.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    piece: u8,
    /// Its place in the unit.
    index: u8,
}

impl Source {
    /// A place in the only unit that is fetched.
    pub fn in_only_unit(index: u8) -> Self {
        Source { piece: 0, index }
    }
}

/// See the module's description.
pub struct Fetch {
    batch_pages: usize,
    slots: Vec<Slot>,
    pieces: Vec<Piece>,
}

impl Fetch {
    /// Bytes of the lists.
    pub const MEMORY_BYTES: usize = BATCH_MAX * (size_of::<Slot>() + size_of::<Piece>());

    /// Of at most so many pages.
    pub fn new(batch_pages: usize) -> Self {
        Fetch { batch_pages, slots: Vec::with_capacity(BATCH_MAX), pieces: Vec::with_capacity(BATCH_MAX) }
    }

    pub fn clear(&mut self) {
        self.slots.clear();
        self.pieces.clear();
    }

    /// Whether this page comes along with what is fetched already.
    pub fn includes(&self, backing: Backing) -> bool {
        matches!(backing, Backing::Packed(packed) if self.find(packed).is_some())
    }

    /// One page more. `None`: the batch is full.
    pub fn add(&mut self, page: PageNumber, backing: Backing, map: &SwapMap) -> Option<Source> {
        match backing {
            Backing::Slot(slot) => {
                Some(Source { piece: self.add_piece(slot, Some(page), None, map)?, index: 0 })
            }
            Backing::Packed(packed) => {
                Some(Source { piece: self.add_unit(packed, map)?, index: packed.index })
            }
            _ => unreachable!("{backing:?} is not on the device"),
        }
    }

    fn add_unit(&mut self, packed: Packed, map: &SwapMap) -> Option<u8> {
        let layout = map.units().get(packed.unit).layout;
        self.find(packed).or_else(|| self.add_piece(packed.unit, None, Some(layout), map))
    }

    fn find(&self, packed: Packed) -> Option<u8> {
        let is_it = |piece: &Piece| piece.layout.is_some() && piece.identity.slot == packed.unit;
        self.pieces.iter().position(is_it).map(|index| index as u8)
    }

    fn add_piece(
        &mut self,
        slot: Slot,
        owner: Option<PageNumber>,
        layout: Option<UnitLayout>,
        map: &SwapMap,
    ) -> Option<u8> {
        let frames = layout.map_or(1, |layout| layout.frames());
        let at = self.slots.len();
        if at + frames as usize > self.batch_pages {
            return None;
        }
        self.slots.extend((0..frames).map(|offset| slot.plus(offset)));
        let identity = Identity { slot, generation: map.generation(slot), owner };
        self.pieces.push(Piece { identity, tag: map.tag(slot), at, layout, result: Ok(()) });
        Some(self.pieces.len() as u8 - 1)
    }

    /// Reads everything; what was good is in `opened`.
    pub fn carry_out(&mut self, world: World<'_>, sealed: &mut [Page], opened: &mut [u8]) {
        let (read, error) = read_pages(world.device, &self.slots, sealed);
        for piece in &mut self.pieces {
            let pages = piece.at..piece.at + piece.layout.map_or(1, |layout| layout.frames() as usize);
            let are_read = pages.clone().all(|page| read >> page & 1 != 0);
            let into = &mut opened[pages.start * PAGE_BYTES..pages.end * PAGE_BYTES];
            piece.result = if !are_read {
                Err(Loss::Unreadable(error.expect("what was not read has failed").errno))
            } else if world.sealer.open(piece.identity, &piece.tag, bytes_of(&sealed[pages]), into) {
                Ok(())
            } else {
                Err(Loss::CorruptSlot)
            };
        }
    }

    /// Puts a page that was fetched into `into`.
    pub fn page(
        &self,
        source: Source,
        page: PageNumber,
        opened: &[u8],
        compressor: &mut Compressor,
        into: &mut Page,
    ) -> Result<(), Loss> {
        let piece = &self.pieces[usize::from(source.piece)];
        piece.result?;
        let Some(layout) = piece.layout else {
            into.copy_from_slice(&opened[piece.at * PAGE_BYTES..][..PAGE_BYTES]);
            return Ok(());
        };
        let (header, bytes) = zpage_of(piece, layout, source.index, opened).ok_or(Loss::CorruptZpage)?;
        decompress(page, &header, bytes, compressor, into)
    }

    /// The zpage of a page that was fetched as one.
    pub fn zpage<'a>(&self, source: Source, opened: &'a [u8]) -> Option<(ZpageHeader, &'a [u8])> {
        let piece = &self.pieces[usize::from(source.piece)];
        zpage_of(piece, piece.layout?, source.index, opened)
    }

    /// Every place of the only unit that was fetched, with what lies there.
    pub fn zpages<'a>(&'a self, opened: &'a [u8]) -> impl Iterator<Item = (u8, ZpageHeader, &'a [u8])> {
        let places = match &self.pieces[0] {
            Piece { result: Ok(()), layout: Some(layout), .. } => layout.places(),
            _ => 0,
        };
        (0..places).filter_map(move |index| {
            let (header, bytes) = self.zpage(Source::in_only_unit(index), opened)?;
            Some((index, header, bytes))
        })
    }
}

fn zpage_of<'a>(
    piece: &Piece,
    layout: UnitLayout,
    index: u8,
    opened: &'a [u8],
) -> Option<(ZpageHeader, &'a [u8])> {
    let unit = &opened[piece.at * PAGE_BYTES..][..layout.frames() as usize * PAGE_BYTES];
    layout.zpage(unit, index)
}

/// Decompresses a zpage that must be this page's.
pub fn decompress(
    page: PageNumber,
    header: &ZpageHeader,
    bytes: &[u8],
    compressor: &mut Compressor,
    into: &mut Page,
) -> Result<(), Loss> {
    if header.page != page {
        return Err(Loss::CorruptZpage);
    }
    compressor.decompress(header, bytes, into).map_err(|Corrupt| Loss::CorruptZpage)
}
