//! The active and the inactive list of resident pages.
//!
//! Nothing cheap tells that a mapped page is being read (no accessed bit reaches user space),
//! so the lists learn from *refaults*: a page that was unmapped and touched again soon goes to
//! the head of the active list, any other page that comes in to the head of the inactive one.
//! Pages leave from the inactive tail; the active tail feeds the inactive head when the
//! inactive list is the shorter one by too much (mm/workingset.c).
//!
//! A node is twelve bytes and belongs to a page frame of RAM, not to a page, so a pager pays
//! for as many as fit into its budget.

use crate::page::PageNumber;

const NIL: u32 = u32::MAX;
const ACTIVE: u32 = 1 << 31;

/// Which list a page is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// Pages that proved their use.
    Active,
    /// The others, oldest at the tail.
    Inactive,
}

impl List {
    fn marked(self, page: u32) -> u32 {
        match self {
            List::Active => page | ACTIVE,
            List::Inactive => page & !ACTIVE,
        }
    }
}

#[derive(Clone, Copy)]
struct Node {
    /// The page's number; the top bit tells the list.
    page: u32,
    /// Towards the head (newer).
    previous: u32,
    /// Towards the tail (older); the next free node where this one is free.
    next: u32,
}

#[derive(Clone, Copy)]
struct Ends {
    head: u32,
    tail: u32,
    length: u32,
}

/// Both lists over one table of nodes.
pub struct Lists {
    nodes: Vec<Node>,
    free: u32,
    /// Nodes in the lists, and nodes of pages that are just leaving.
    used: u32,
    ends: [Ends; 2],
}

impl Lists {
    /// Bytes of a node.
    pub const NODE_BYTES: u64 = size_of::<Node>() as u64;

    /// Empty lists for at most `frames` pages. Nothing allocates after this.
    pub fn new(frames: u32) -> Self {
        let empty = Ends { head: NIL, tail: NIL, length: 0 };
        Lists { nodes: Vec::with_capacity(frames as usize), free: NIL, used: 0, ends: [empty; 2] }
    }

    /// Pages on a list.
    pub fn length(&self, list: List) -> u32 {
        self.ends[list as usize].length
    }

    /// Pages on both lists and pages that were taken off but not released.
    pub fn used(&self) -> u32 {
        self.used
    }

    /// Bytes that the nodes have come to occupy, or would with so many pages more.
    pub fn metadata_bytes(&self, more: u32) -> u64 {
        self.nodes.len().max((self.used + more) as usize) as u64 * Self::NODE_BYTES
    }

    /// The page of a node.
    pub fn page(&self, node: u32) -> PageNumber {
        PageNumber(self.nodes[node as usize].page & !ACTIVE)
    }

    /// Adds a page at the head of a list; its node.
    pub fn insert(&mut self, page: PageNumber, list: List) -> u32 {
        let blank = Node { page: page.0, previous: NIL, next: NIL };
        let node = if self.free == NIL {
            assert!(self.nodes.len() < self.nodes.capacity(), "more resident pages than frames");
            self.nodes.push(blank);
            self.nodes.len() as u32 - 1
        } else {
            let node = self.free;
            self.free = self.nodes[node as usize].next;
            self.nodes[node as usize] = blank;
            node
        };
        self.used += 1;
        self.link(node, list);
        node
    }

    /// Puts a node that was taken off back at the head of a list.
    pub fn put_back(&mut self, node: u32, list: List) {
        self.link(node, list);
    }

    /// Puts a node that was taken off back at the tail of a list.
    pub fn put_back_oldest(&mut self, node: u32, list: List) {
        let tail = self.ends[list as usize].tail;
        if tail == NIL {
            return self.link(node, list);
        }
        let at = &mut self.nodes[node as usize];
        at.page = list.marked(at.page);
        (at.previous, at.next) = (tail, NIL);
        self.nodes[tail as usize].next = node;
        let ends = &mut self.ends[list as usize];
        ends.tail = node;
        ends.length += 1;
    }

    /// Takes a node off its list. It stays the page's until it is put back or released.
    pub fn take_off(&mut self, node: u32) {
        let Node { page, previous, next } = self.nodes[node as usize];
        let ends = &mut self.ends[usize::from(page & ACTIVE == 0)];
        ends.length -= 1;
        if previous == NIL {
            ends.head = next;
        } else {
            self.nodes[previous as usize].next = next;
        }
        if next == NIL {
            ends.tail = previous;
        } else {
            self.nodes[next as usize].previous = previous;
        }
    }

    /// Gives a node back that was taken off.
    pub fn release(&mut self, node: u32) {
        self.nodes[node as usize].next = self.free;
        self.free = node;
        self.used -= 1;
    }

    /// Takes the oldest page off a list; its node.
    pub fn take_oldest(&mut self, list: List) -> Option<u32> {
        let node = self.ends[list as usize].tail;
        (node != NIL).then(|| {
            self.take_off(node);
            node
        })
    }

    /// Lets up to `count` of the oldest active pages grow old on the inactive list, as long as
    /// that is less than half as long as the active one.
    pub fn balance(&mut self, count: u32) {
        for _ in 0..count {
            if self.length(List::Inactive) * 2 >= self.length(List::Active) {
                break;
            }
            let Some(node) = self.take_oldest(List::Active) else { break };
            self.link(node, List::Inactive);
        }
    }

    fn link(&mut self, node: u32, list: List) {
        let head = self.ends[list as usize].head;
        let at = &mut self.nodes[node as usize];
        at.page = list.marked(at.page);
        (at.previous, at.next) = (NIL, head);
        let ends = &mut self.ends[list as usize];
        ends.head = node;
        ends.length += 1;
        if head == NIL {
            ends.tail = node;
        } else {
            self.nodes[head as usize].previous = node;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_leave_in_the_order_in_which_they_came() {
        let mut lists = Lists::new(8);
        let nodes: Vec<u32> = (0..4).map(|page| lists.insert(PageNumber(page), List::Inactive)).collect();
        lists.take_off(nodes[1]);
        lists.put_back(nodes[1], List::Active);
        let oldest = lists.take_oldest(List::Inactive).unwrap();
        lists.put_back_oldest(oldest, List::Inactive);
        assert_eq!((lists.length(List::Active), lists.length(List::Inactive)), (1, 3));
        let mut left = Vec::new();
        while let Some(node) = lists.take_oldest(List::Inactive) {
            left.push(lists.page(node).0);
            lists.release(node);
        }
        assert_eq!(left, [0, 2, 3]);
        assert_eq!(lists.used(), 1);
        lists.balance(8);
        assert_eq!((lists.length(List::Active), lists.length(List::Inactive)), (0, 1));
    }
}
