#include "isa/layout_draw.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "isa/diag/layout.h"
#include "isa/layout_judge.h"
#include "isa/layout_spell.h"

namespace tess {
namespace {

constexpr int kBanks = 32;
constexpr int64_t kMaxDrawn = 256;

struct Cell {
  std::string text = "·";  // nothing holds it
  int hue = -1;            // 0..31: lane or bank
  int shade = 0;           // warp
};
struct Grid {
  int64_t rows = 1, cols = 1;  // drawn
  int64_t all_rows = 1, all_cols = 1;
  std::vector<Cell> cells;
  std::string legend;
  Cell& at(int64_t r, int64_t c) { return cells[r * cols + c]; }
  const Cell& at(int64_t r, int64_t c) const { return cells[r * cols + c]; }
};

// "T5 R2", with the warp before it where there are several, and "+n" if more registers hold the
// element.
void add_holder(Cell& cell, const LayoutPoint& p, bool warps, int& holders) {
  if (++holders > 1) {
    size_t plus = cell.text.find('+');
    if (plus != std::string::npos) cell.text.resize(plus);
    cell.text += fmt::format("+{}", holders - 1);
    return;
  }
  cell.text = warps ? fmt::format("W{} T{} R{}", p.warp, p.lane, p.reg)
                    : fmt::format("T{} R{}", p.lane, p.reg);
  cell.hue = static_cast<int>(p.lane % kBanks);
  cell.shade = static_cast<int>(p.warp % 4);
}

Result<Grid> make_grid(const Layout& l, const DrawOptions& options) {
  if (!l.is_memory() && l.dims > 0)
    return make_diag(diag::layout_argument, "only register layouts and memory layouts are drawn");
  if (options.elem_bits < 1 || options.elem_bits > 64)
    return make_diag(diag::layout_argument, "an element has 1 to 64 bits");
  std::vector<int64_t> shape = l.is_memory() ? input_shape(l) : l.shape;
  Grid g;
  size_t rank = shape.size();
  g.all_cols = shape[rank - 1];
  g.all_rows = rank > 1 ? shape[rank - 2] : 1;
  g.rows = std::min({g.all_rows, options.max_rows, kMaxDrawn});
  g.cols = std::min({g.all_cols, options.max_cols, kMaxDrawn});
  if (g.rows < 1 || g.cols < 1) return make_diag(diag::layout_argument, "nothing to draw");
  g.cells.resize(g.rows * g.cols);
  if (l.is_memory()) {
    std::vector<int64_t> index(rank, 0);
    for (int64_t r = 0; r < g.rows; ++r)
      for (int64_t c = 0; c < g.cols; ++c) {
        if (rank > 1) index[rank - 2] = r;
        index[rank - 1] = c;
        int64_t offset = offset_of(l, index);
        int64_t bank =
            static_cast<int64_t>((static_cast<__int128>(offset) * options.elem_bits / 32) % kBanks);
        g.at(r, c) = {fmt::format("{}", offset), static_cast<int>((bank + kBanks) % kBanks), 0};
      }
    g.legend =
        fmt::format("offset of each element; colour: bank of {}-bit elements", options.elem_bits);
  } else {
    int64_t n = input_size(l);
    TESS_CHECK(judge_enter(n));
    std::vector<InputSpace> spaces = input_spaces(l);
    std::vector<int> holders(g.cells.size(), 0);
    bool warps = size_of(l, Label::warp) > 1;
    for (int64_t x = 0; x < n; ++x) {
      LayoutPoint p = point_of(spaces, x);
      if (p.cta != 0) continue;
      std::vector<int64_t> y = apply(l, p);
      int64_t r = rank > 1 ? y[rank - 2] : 0, c = y[rank - 1];
      bool drawn = r < g.rows && c < g.cols;
      for (size_t j = 0; j + 2 < rank; ++j) drawn = drawn && y[j] == 0;
      if (drawn) add_holder(g.at(r, c), p, warps, holders[r * g.cols + c]);
    }
    g.legend =
        warps ? "warp, lane (T) and register (R) that hold each element; colour: lane; +n: copies"
              : "lane (T) and register (R) that hold each element; colour: lane; +n: copies";
  }
  return g;
}

// Hues around the wheel so that neighbouring lanes or banks differ; 4 shades.
struct Rgb {
  int r, g, b;
};
Rgb color_of(int hue, int shade) {
  double h = (hue % 4) * 90.0 + (hue / 4) * 11.25, light = 0.88 - 0.07 * shade,
         saturation = 0.75 - 0.05 * (hue / 8);
  double chroma = (1 - std::fabs(2 * light - 1)) * saturation,
         x = chroma * (1 - std::fabs(std::fmod(h / 60, 2.0) - 1)), base = light - chroma / 2;
  double r = 0, g = 0, b = 0;
  switch (static_cast<int>(h / 60)) {
    case 0:
      r = chroma, g = x;
      break;
    case 1:
      r = x, g = chroma;
      break;
    case 2:
      g = chroma, b = x;
      break;
    case 3:
      g = x, b = chroma;
      break;
    case 4:
      r = x, b = chroma;
      break;
    default:
      r = chroma, b = x;
      break;
  }
  auto byte = [&](double v) { return static_cast<int>(std::lround((v + base) * 255)); };
  return {byte(r), byte(g), byte(b)};
}

int ansi_of(Rgb c) {
  auto level = [](int v) { return std::clamp((v + 25) / 51, 0, 5); };
  return 16 + 36 * level(c.r) + 6 * level(c.g) + level(c.b);
}

std::string cut_note(const Grid& g) {
  if (g.rows == g.all_rows && g.cols == g.all_cols) return {};
  return fmt::format("(the first {} of {} rows and {} of {} columns)\n", g.rows, g.all_rows, g.cols,
                     g.all_cols);
}

size_t display_length(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string padded(const std::string& text, size_t width) {
  size_t length = display_length(text);
  return std::string(width > length ? width - length : 0, ' ') + text;
}

std::string escape_xml(const std::string& text) {
  std::string out;
  for (char c : text)
    if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else if (c == '&') out += "&amp;";
    else out += c;
  return out;
}

}  // namespace

Result<std::string> draw_layout(const Layout& l, bool color, const DrawOptions& options) {
  TESS_TRY(Grid g, make_grid(l, options));
  size_t width = std::to_string(g.cols).size();
  for (const Cell& c : g.cells) width = std::max(width, display_length(c.text));
  size_t margin = std::to_string(g.rows).size() + 1;
  std::string text = g.legend + "\n" + cut_note(g) + std::string(margin, ' ');
  for (int64_t c = 0; c < g.cols; ++c) text += " " + padded(std::to_string(c), width);
  text += "\n";
  for (int64_t r = 0; r < g.rows; ++r) {
    text += padded(std::to_string(r), margin);
    for (int64_t c = 0; c < g.cols; ++c) {
      const Cell& cell = g.at(r, c);
      std::string body = " " + padded(cell.text, width);
      text += color && cell.hue >= 0 ? fmt::format("\x1b[30;48;5;{}m{}\x1b[0m",
                                                   ansi_of(color_of(cell.hue, cell.shade)), body)
                                     : body;
    }
    text += "\n";
  }
  return text;
}

Result<std::string> svg_layout(const Layout& l, const DrawOptions& options) {
  TESS_TRY(Grid g, make_grid(l, options));
  size_t longest = 3;
  for (const Cell& c : g.cells) longest = std::max(longest, display_length(c.text));
  int64_t w = static_cast<int64_t>(longest) * 7 + 8, h = 22, left = 34, top = 62;
  std::string title = escape_xml(print_layout(l));
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" "
      "font-family=\"monospace\" font-size=\"11\">\n",
      std::max<int64_t>(left + g.cols * w + 8, 420), top + g.rows * h + 8);
  svg += "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
  svg += fmt::format(
      "<text x=\"8\" y=\"18\" font-size=\"13\">{}</text>\n<text x=\"8\" y=\"36\" fill=\"#555\">{} "
      "{}</text>\n",
      title, escape_xml(g.legend), escape_xml(cut_note(g)));
  for (int64_t c = 0; c < g.cols; ++c)
    svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"#888\">{}</text>\n",
                       left + c * w + w / 2, top - 6, c);
  for (int64_t r = 0; r < g.rows; ++r) {
    svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#888\">{}</text>\n",
                       left - 6, top + r * h + 15, r);
    for (int64_t c = 0; c < g.cols; ++c) {
      const Cell& cell = g.at(r, c);
      Rgb fill = cell.hue >= 0 ? color_of(cell.hue, cell.shade) : Rgb{255, 255, 255};
      svg += fmt::format(
          "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"#{:02x}{:02x}{:02x}\" "
          "stroke=\"#999\"/><text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
          left + c * w, top + r * h, w, h, fill.r, fill.g, fill.b, left + c * w + w / 2,
          top + r * h + 15, escape_xml(cell.text));
    }
  }
  return svg + "</svg>\n";
}

}  // namespace tess
