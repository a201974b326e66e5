//! Graphs as text: boxes in layers, with lines between them (after Sugiyama, Tagawa, Toda, 1981, lightly).

use std::collections::{HashMap, VecDeque};

/// A box: its lines of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The lines, without control characters.
    pub lines: Vec<String>,
}

/// Boxes and the lines between them, by the boxes' places in the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    /// The boxes; the first is the entry.
    pub nodes: Vec<Node>,
    /// From, to, and a sign at the start of the line (`t`, `f`; a blank: none).
    pub edges: Vec<(usize, usize, char)>,
}

/// Most boxes that are drawn: more is no picture any more.
pub const MOST: usize = 512;

/// A place in a layer: a box, or a line that passes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Cell {
    Box(usize),
    Pass(usize),
}

/// A piece of a line between two neighbouring layers.
struct Link {
    from: Cell,
    to: Cell,
    sign: char,
    /// Whether the line is drawn against its direction: it leads up.
    up: bool,
}

impl Graph {
    /// The picture, line by line, without blanks at the ends.
    pub fn draw(&self) -> Vec<String> {
        let layers_of = self.layers();
        let (mut rows, links) = self.rows(&layers_of);
        order(&mut rows, &links);
        let mut canvas = Canvas::default();
        let width = |cell: Cell| match cell {
            Cell::Box(node) => self.width(node),
            Cell::Pass(_) => 1,
        };
        let total = |row: &[Cell]| row.iter().map(|cell| width(*cell) + 3).sum::<usize>().saturating_sub(3);
        let widest = rows.iter().map(|row| total(row)).max().unwrap_or(0);
        // Columns of the middles of the cells.
        let mut middle: HashMap<Cell, usize> = HashMap::new();
        let mut lefts: HashMap<Cell, usize> = HashMap::new();
        for row in &rows {
            let mut left = (widest - total(row)) / 2;
            for cell in row {
                lefts.insert(*cell, left);
                middle.insert(*cell, left + width(*cell) / 2);
                left += width(*cell) + 3;
            }
        }
        let mut top = 0;
        for (depth, row) in rows.iter().enumerate() {
            let height = row.iter().map(|cell| self.height(*cell)).max().unwrap_or(0);
            for cell in row {
                let left = lefts.get(cell).copied().unwrap_or(0);
                match cell {
                    Cell::Box(node) => self.frame(&mut canvas, *node, left, top, height, &links[depth]),
                    Cell::Pass(_) => (0..height).for_each(|line| canvas.put(left, top + line, '|')),
                }
            }
            top += height;
            top += connect(&mut canvas, &links[depth], &middle, &lefts, &width, top);
        }
        canvas.lines()
    }

    fn width(&self, node: usize) -> usize {
        self.nodes[node].lines.iter().map(|line| line.chars().count()).max().unwrap_or(0) + 4
    }

    fn height(&self, cell: Cell) -> usize {
        match cell {
            Cell::Box(node) => self.nodes[node].lines.len() + 2,
            Cell::Pass(_) => 1,
        }
    }

    /// A box, and the lines that leave it down to the end of its layer.
    fn frame(&self, canvas: &mut Canvas, node: usize, left: usize, top: usize, height: usize, links: &[Link]) {
        let width = self.width(node);
        let lines = &self.nodes[node].lines;
        let bar = "-".repeat(width - 2);
        canvas.text(left, top, &format!(".{bar}."));
        for (index, line) in lines.iter().enumerate() {
            canvas.text(left, top + 1 + index, &format!("| {line:<0$} |", width - 4));
        }
        let bottom = top + lines.len() + 1;
        canvas.text(left, bottom, &format!("`{bar}'"));
        let leaving: Vec<&Link> = links.iter().filter(|link| link.from == Cell::Box(node)).collect();
        for index in 0..leaving.len() {
            let column = port(left, width, index, leaving.len());
            (bottom + 1..top + height).for_each(|line| canvas.put(column, line, '|'));
        }
    }

    /// How deep each box lies: below all that lead to it, but for lines that lead back.
    fn layers(&self) -> Vec<usize> {
        let count = self.nodes.len();
        let mut next: Vec<Vec<usize>> = vec![Vec::new(); count];
        for &(from, to, _) in self.edges.iter().filter(|(from, to, _)| *from < count && *to < count) {
            next[from].push(to);
        }
        // A line that leads back to a box that is still being looked at closes a circle.
        let mut back = vec![Vec::new(); count];
        let mut state = vec![0u8; count];
        for root in 0..count {
            let mut work = vec![(root, 0)];
            while let Some((node, index)) = work.pop() {
                if index == 0 {
                    if state[node] != 0 {
                        continue;
                    }
                    state[node] = 1;
                }
                match next[node].get(index) {
                    Some(&to) => {
                        work.push((node, index + 1));
                        match state[to] {
                            0 => work.push((to, 0)),
                            1 => back[node].push(to),
                            _ => {}
                        }
                    }
                    None => state[node] = 2,
                }
            }
        }
        let forward = |from: usize, to: usize| !back[from].contains(&to);
        let mut waiting = vec![0usize; count];
        for (from, to) in next.iter().enumerate().flat_map(|(from, to)| to.iter().map(move |to| (from, *to))) {
            waiting[to] += usize::from(forward(from, to));
        }
        let mut depth = vec![0; count];
        let mut ready: VecDeque<usize> = (0..count).filter(|node| waiting[*node] == 0).collect();
        while let Some(node) = ready.pop_front() {
            for &to in next[node].iter().filter(|to| forward(node, **to)) {
                depth[to] = depth[to].max(depth[node] + 1);
                waiting[to] -= 1;
                if waiting[to] == 0 {
                    ready.push_back(to);
                }
            }
        }
        depth
    }

    /// The layers, and for each the pieces of lines from it to the one below.
    fn rows(&self, depth: &[usize]) -> (Vec<Vec<Cell>>, Vec<Vec<Link>>) {
        let deepest = depth.iter().max().map_or(0, |deepest| deepest + 1);
        let mut rows: Vec<Vec<Cell>> = vec![Vec::new(); deepest + 1];
        let mut links: Vec<Vec<Link>> = (0..=deepest).map(|_| Vec::new()).collect();
        for (node, depth) in depth.iter().enumerate() {
            rows[*depth].push(Cell::Box(node));
        }
        let mut passes = 0;
        for &(from, to, sign) in self.edges.iter().filter(|(from, to, _)| from.max(to) < &depth.len()) {
            let up = depth[to] <= depth[from];
            let (high, low) = if up { (to, from) } else { (from, to) };
            let mut last = Cell::Box(high);
            if high == low || depth[high] == depth[low] {
                // A box that leads to itself or its neighbour says so with its sign alone.
                continue;
            }
            for layer in depth[high]..depth[low] {
                let here = if layer + 1 == depth[low] {
                    Cell::Box(low)
                } else {
                    passes += 1;
                    rows[layer + 1].push(Cell::Pass(passes));
                    Cell::Pass(passes)
                };
                let sign = if layer == depth[high] && !up { sign } else { ' ' };
                links[layer].push(Link { from: last, to: here, sign, up });
                last = here;
            }
        }
        while rows.last().is_some_and(Vec::is_empty) {
            rows.pop();
        }
        (rows, links)
    }
}

/// Sorts each layer by the middle of what leads to it, so that fewer lines cross.
fn order(rows: &mut [Vec<Cell>], links: &[Vec<Link>]) {
    for depth in 1..rows.len() {
        let above: HashMap<Cell, usize> = rows[depth - 1].iter().enumerate().map(|(at, cell)| (*cell, at)).collect();
        let mut sums: HashMap<Cell, (usize, usize)> = HashMap::new();
        for link in &links[depth - 1] {
            let sum = sums.entry(link.to).or_default();
            sum.0 += above.get(&link.from).copied().unwrap_or(0) * 1024;
            sum.1 += 1;
        }
        rows[depth].sort_by_key(|cell| sums.get(cell).map_or(usize::MAX, |(sum, count)| sum / count));
    }
}

/// The column of the `index`-th of `count` lines at a box.
fn port(left: usize, width: usize, index: usize, count: usize) -> usize {
    left + (width * (index + 1) / (count + 1)).min(width.saturating_sub(1))
}

/// Draws the pieces of lines below a layer, from `top` on; the answer is how many lines that took.
fn connect(
    canvas: &mut Canvas,
    links: &[Link],
    middle: &HashMap<Cell, usize>,
    lefts: &HashMap<Cell, usize>,
    width: &dyn Fn(Cell) -> usize,
    top: usize,
) -> usize {
    if links.is_empty() {
        return 0;
    }
    let column = |cell: Cell, index: usize, count: usize| match cell {
        Cell::Box(_) => port(lefts.get(&cell).copied().unwrap_or(0), width(cell), index, count),
        Cell::Pass(_) => middle.get(&cell).copied().unwrap_or(0),
    };
    let mut wires = Vec::new();
    for (at, link) in links.iter().enumerate() {
        let leaving = links.iter().filter(|other| other.from == link.from).count();
        let index = links[..at].iter().filter(|other| other.from == link.from).count();
        let start = column(link.from, index, leaving);
        let mut arriving: Vec<usize> = (0..links.len()).filter(|other| links[*other].to == link.to).collect();
        arriving.sort_by_key(|other| middle.get(&links[*other].from).copied());
        let place = arriving.iter().position(|other| *other == at).unwrap_or(0);
        let end = column(link.to, place, arriving.len());
        wires.push((start, end, link));
    }
    let bent: Vec<usize> = (0..wires.len()).filter(|at| wires[*at].0 != wires[*at].1).collect();
    let height = bent.len() + 2;
    for (at, (start, end, link)) in wires.iter().enumerate() {
        let bend = bent.iter().position(|other| *other == at);
        match bend {
            None => (0..height).for_each(|line| canvas.put(*start, top + line, '|')),
            Some(bend) => {
                let line = top + 1 + bend;
                (top..line).for_each(|line| canvas.put(*start, line, '|'));
                let (low, high) = (*start.min(end), *start.max(end));
                (low + 1..high).for_each(|column| canvas.put(column, line, '-'));
                canvas.put(*start, line, if end > start { '`' } else { '\'' });
                canvas.put(*end, line, if end > start { '.' } else { ',' });
                (line + 1..top + height).for_each(|line| canvas.put(*end, line, '|'));
            }
        }
        if link.sign != ' ' {
            canvas.set(*start, top, link.sign);
        }
        // Arrows where a line ends: at the box below, or above for one that leads up.
        if link.up && matches!(link.from, Cell::Box(_)) {
            canvas.set(*start, top, '^');
        }
        if !link.up && matches!(link.to, Cell::Box(_)) {
            canvas.set(*end, top + height - 1, 'v');
        }
    }
    height
}

/// Characters at places.
#[derive(Default)]
struct Canvas {
    rows: Vec<Vec<char>>,
}

impl Canvas {
    fn set(&mut self, column: usize, row: usize, sign: char) {
        if self.rows.len() <= row {
            self.rows.resize(row + 1, Vec::new());
        }
        let cells = &mut self.rows[row];
        if cells.len() <= column {
            cells.resize(column + 1, ' ');
        }
        cells[column] = sign;
    }

    /// A piece of a line; where it crosses another, both show.
    fn put(&mut self, column: usize, row: usize, sign: char) {
        let there = self.rows.get(row).and_then(|cells| cells.get(column)).copied().unwrap_or(' ');
        let sign = match (there, sign) {
            (' ', sign) => sign,
            ('-', '|') | ('|', '-') => '|',
            ('t' | 'f' | 'v' | '^', _) => there,
            (_, '-') => there,
            (_, sign) => sign,
        };
        self.set(column, row, sign);
    }

    fn text(&mut self, column: usize, row: usize, text: &str) {
        text.chars().enumerate().for_each(|(at, sign)| self.set(column + at, row, sign));
    }

    fn lines(self) -> Vec<String> {
        self.rows.into_iter().map(|cells| cells.into_iter().collect::<String>().trim_end().to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn graph(boxes: &[&str], edges: &[(usize, usize, char)]) -> Graph {
        let nodes = boxes.iter().map(|text| Node { lines: text.lines().map(str::to_string).collect() }).collect();
        Graph { nodes, edges: edges.to_vec() }
    }

    #[test]
    fn a_branch_has_two_sides() {
        let drawn =
            graph(&["cmp\nje", "left", "right", "end"], &[(0, 2, 't'), (0, 1, 'f'), (1, 3, ' '), (2, 3, ' ')]).draw();
        let text = drawn.join("\n");
        assert_eq!(drawn.iter().filter(|line| line.contains("| end |")).count(), 1, "{text}");
        assert!(drawn.iter().any(|line| line.contains("| left |") && line.contains("| right |")), "{text}");
        assert!(drawn.iter().any(|line| line.contains('t') && line.contains('f') && !line.contains("|  ")), "{text}");
        assert_eq!(text.matches('v').count(), 4, "{text}");
    }

    #[test]
    fn circles_have_a_line_up() {
        let text = graph(&["a", "b", "c"], &[(0, 1, ' '), (1, 0, 't'), (1, 2, 'f'), (2, 2, ' ')]).draw().join("\n");
        assert_eq!(text.matches('^').count(), 1, "{text}");
        assert_eq!(text.matches('v').count(), 2, "{text}");
    }

    proptest! {
        #[test]
        fn any_graph_can_be_drawn(
            count in 1usize..12,
            edges in prop::collection::vec((0usize..12, 0usize..12), 0..30),
        ) {
            let nodes = (0..count).map(|node| Node { lines: vec![format!("node{node}.")] }).collect();
            let edges = edges.into_iter().map(|(from, to)| (from, to, ' ')).collect();
            let text = Graph { nodes, edges }.draw().join("\n");
            for node in 0..count {
                let name = format!("node{node}.");
                prop_assert!(text.contains(&name), "{}", text);
            }
        }
    }
}
