// SPDX-License-Identifier: MIT
#include "gradamp/data/synthetic.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "gradamp/core/error.h"
#include "gradamp/core/philox.h"

namespace gradamp {
namespace {

constexpr int kClasses = 10;
constexpr int kSide = static_cast<int>(kImageSide);
constexpr std::int64_t kMaxImages = std::int64_t{1} << 24;
constexpr std::uint32_t kTestSubstreams = 1u << 30;   // first substream of the test images
constexpr std::uint32_t kLabelSubstreams = 1u << 31;  // the order of the labels, one substream per ten images

// Coordinates are in units of 1/384 pixel. Then a third of a pixel, the distance of two samples, is an even number.
constexpr int kPixel = 384;
constexpr int kSamples = 3;  // per pixel and direction, so the coverage of a pixel is a multiple of 1/9

// A figure is defined in coordinates (u, v), in which its outer radius is kOne.
constexpr int kOne = 4096;

/// `thousandths` / 1000 of a figure's radius.
constexpr int part(int thousandths) { return kOne * thousandths / 1000; }

enum class Form { kCircle, kSquare, kTriangle, kCross, kRing, kStar, kCrescent, kStripes, kCheckerboard, kDots, kBar };

struct Color {
  int channel[3];
};

/// A form and its placement in the image: (u, v) = M (x - center).
struct Figure {
  Form form = Form::kCircle;
  bool square_window = false;             // textures fill a square if true, else a disc
  int period = kOne / 2;                  // of a texture
  int center[2] = {0, 0};                 // x, y in 1/384 pixel
  int reach = 0;                          // upper bound of a point's distance from the center, in 1/384 pixel
  std::int64_t matrix[4] = {0, 0, 0, 0};  // scaled by 2^16
};

/// A color gradient across the image: at + slope (x - 16, y - 16) / 16, in levels.
struct Paint {
  Color at;
  int slope[3][2];
};

/// Half-plane tests in 12-bit fixed point: the number of `normals` n (in units of 1 / kOne) with n . p <= `distance`.
template <std::size_t kCount>
int half_planes(const std::array<std::array<int, 2>, kCount>& normals, int distance, int u, int v) {
  int inside = 0;
  for (const auto& n : normals) inside += (n[0] * u + n[1] * v) / kOne <= distance;
  return inside;
}

/// The position within a repeating pattern, in [0, period), also for a negative `place`.
int wrapped(int place, int period) {
  const int rest = place % period;
  return rest < 0 ? rest + period : rest;
}

bool covers_texture(const Figure& figure, int u, int v) {
  const int half = figure.period / 2;
  const bool a = wrapped(u, figure.period) < half, b = wrapped(v, figure.period) < half;
  if (figure.form == Form::kStripes) return a;
  if (figure.form == Form::kCheckerboard) return a != b;
  const int x = wrapped(u, figure.period) - half, y = wrapped(v, figure.period) - half;
  return 10 * (x * x + y * y) <= figure.period * figure.period;  // dots of radius 0.32 periods
}

/// Whether the point (u, v) belongs to the figure. |u| and |v| must be below 2 kOne, so that products fit 32 bits.
bool covers(const Figure& figure, int u, int v) {
  // Normals of an equilateral triangle and of a pentagram, in units of 1 / kOne.
  constexpr std::array<std::array<int, 2>, 3> kTriangleNormals{{{0, -4096}, {3547, 2048}, {-3547, 2048}}};
  constexpr std::array<std::array<int, 2>, 5> kStarNormals{
      {{0, -4096}, {3896, -1266}, {2408, 3314}, {-2408, 3314}, {-3896, -1266}}};
  const int square = u * u + v * v;
  const int across = std::abs(u), along = std::abs(v);
  switch (figure.form) {
    case Form::kCircle: return square <= part(850) * part(850);
    case Form::kSquare: return std::max(across, along) <= part(760);
    case Form::kTriangle: return half_planes(kTriangleNormals, part(480), u, v) == 3;
    case Form::kCross: return std::min(across, along) <= part(260) && std::max(across, along) <= part(920);
    case Form::kRing: return square <= part(950) * part(950) && square >= part(580) * part(580);
    // The inner pentagon of a pentagram is inside all five of its lines. Each of its points is inside four of them.
    case Form::kStar: return half_planes(kStarNormals, part(340), u, v) >= 4 && square <= kOne * kOne;
    case Form::kCrescent: {
      const int shifted = u - part(420);
      return square <= part(950) * part(950) && shifted * shifted + v * v >= part(700) * part(700);
    }
    case Form::kBar: return across <= part(950) && along <= part(200);
    case Form::kStripes:
    case Form::kCheckerboard:
    case Form::kDots: {
      const bool window = figure.square_window ? std::max(across, along) <= part(800) : square <= kOne * kOne;
      return window && covers_texture(figure, u, v);
    }
  }
  return false;
}

/// The image that is being drawn, in 1/16 levels, and the sequence of random numbers that determines it.
class Drawing {
 public:
  explicit Drawing(PhiloxSequence random) : random_(random) {}

  void draw(Form form);
  void store(std::uint8_t* image);

 private:
  int between(int low, int high) {
    return low + static_cast<int>(random_.below(static_cast<std::uint32_t>(high - low + 1)));
  }
  Color color();
  Paint paint(const Color& at, int most);
  void place(Figure& figure, int radius, int stretch, int margin);
  Figure figure(Form form);
  Figure speck();
  void fill(const Paint& paint);
  void add(const Figure& figure, const Paint& paint);
  static int level(const Paint& paint, int channel, int x, int y) {
    const auto c = static_cast<std::size_t>(channel);
    return paint.at.channel[c] * 16 + paint.slope[c][0] * (x - kSide / 2) + paint.slope[c][1] * (y - kSide / 2);
  }

  PhiloxSequence random_;
  std::array<int, kImageBytes> level_{};
};

Color Drawing::color() { return {{between(20, 235), between(20, 235), between(20, 235)}}; }

/// A random gradient around the color `at`. Per direction, a channel changes by at most `most` levels from the center
/// to an edge.
Paint Drawing::paint(const Color& at, int most) {
  Paint paint{at, {}};
  for (auto& slope : paint.slope) {
    slope[0] = between(-most, most);
    slope[1] = between(-most, most);
  }
  return paint;
}

/// Places a figure of `radius` (1/384 pixel) with a random rotation. Its axes are stretched by up to `stretch` percent.
/// Before that, at most `margin` of the radius lies outside the image.
void Drawing::place(Figure& figure, int radius, int stretch, int margin) {
  const int free = std::max(kSide * kPixel / 2 - radius + margin, 0);
  for (int& center : figure.center) center = kSide * kPixel / 2 + between(-free, free);
  // A random direction: a point of a disc divided by its length. IEEE 754 requires a correctly rounded square root, so
  // the result is the same on every machine.
  std::int64_t x = 0, y = 0, square = 0;
  do {
    x = between(-32768, 32767);
    y = between(-32768, 32767);
    square = x * x + y * y;
  } while (square < (1 << 24) || square > (1 << 30) || 2 * std::abs(y) > std::abs(x));
  const auto length = static_cast<std::int64_t>(std::sqrt(static_cast<double>(square)));
  const std::int64_t along = radius * (100 + between(-stretch, stretch)) / 100;
  const std::int64_t across = radius * (100 + between(-stretch, stretch)) / 100;
  const std::int64_t scale = std::int64_t{kOne} << 16;
  figure.matrix[0] = scale * x / (length * along);
  figure.matrix[1] = scale * y / (length * along);
  figure.matrix[2] = -scale * y / (length * across);
  figure.matrix[3] = scale * x / (length * across);
  figure.reach = static_cast<int>(std::max(along, across)) * 3 / 2;  // a square's corner is sqrt(2) away
}

/// The figure of the image's class, with random size, placement and texture.
Figure Drawing::figure(Form form) {
  Figure figure;
  figure.form = form;
  const bool texture = form == Form::kStripes || form == Form::kCheckerboard || form == Form::kDots;
  const int radius = texture ? between(9 * kPixel, 14 * kPixel) : between(8 * kPixel, 13 * kPixel);
  place(figure, radius, 12, 1 * kPixel);
  figure.square_window = random_.below(2) == 1;
  // A period of 5 to 8 pixels, converted to the figure's coordinates.
  figure.period = static_cast<int>(std::int64_t{between(5 * kPixel, 8 * kPixel)} * kOne / radius);
  return figure;
}

/// A small disc or bar that is independent of the class.
Figure Drawing::speck() {
  Figure figure;
  figure.form = random_.below(2) == 1 ? Form::kBar : Form::kCircle;
  const int radius = figure.form == Form::kBar ? between(3 * kPixel, 7 * kPixel) : between(1 * kPixel, 3 * kPixel);
  place(figure, radius, 20, 2 * kPixel);
  return figure;
}

void Drawing::fill(const Paint& paint) {
  for (int y = 0, i = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      for (int c = 0; c < 3; ++c, ++i) level_[static_cast<std::size_t>(i)] = level(paint, c, x, y);
    }
  }
}

/// Paints the figure over the image. Pixels at its edge are blended by their coverage.
void Drawing::add(const Figure& figure, const Paint& paint) {
  const auto first = [&](int d) { return std::clamp((figure.center[d] - figure.reach) / kPixel, 0, kSide); };
  const auto last = [&](int d) { return std::clamp((figure.center[d] + figure.reach) / kPixel + 1, 0, kSide); };
  constexpr int kStep = kPixel / kSamples;
  for (int y = first(1); y < last(1); ++y) {
    for (int x = first(0); x < last(0); ++x) {
      int covered = 0;
      for (int sample = 0; sample < kSamples * kSamples; ++sample) {
        const int dx = x * kPixel + kStep / 2 + kStep * (sample % kSamples) - figure.center[0];
        const int dy = y * kPixel + kStep / 2 + kStep * (sample / kSamples) - figure.center[1];
        const auto u = static_cast<int>((figure.matrix[0] * dx + figure.matrix[1] * dy) / 65536);
        const auto v = static_cast<int>((figure.matrix[2] * dx + figure.matrix[3] * dy) / 65536);
        covered += std::max(std::abs(u), std::abs(v)) < 2 * kOne && covers(figure, u, v);
      }
      if (covered == 0) continue;
      for (int c = 0; c < 3; ++c) {
        int& at = level_[static_cast<std::size_t>((y * kSide + x) * 3 + c)];
        at += (level(paint, c, x, y) - at) * covered / (kSamples * kSamples);
      }
    }
  }
}

/// Draws the background, up to two specks, the figure, and up to one speck on top.
void Drawing::draw(Form form) {
  const Color background = color();
  Color foreground;
  int contrast = 0;
  do {
    foreground = color();
    contrast = 0;
    for (std::size_t c = 0; c < 3; ++c) contrast += std::abs(foreground.channel[c] - background.channel[c]);
  } while (contrast < 180);
  fill(paint(background, 20));
  const auto add_specks = [&](int most) {
    for (int specks = between(0, most); specks > 0; --specks) {
      const Figure here = speck();
      add(here, paint(color(), 20));
    }
  };
  add_specks(2);
  const Figure here = figure(form);
  add(here, paint(foreground, 20));
  add_specks(1);
}

/// Adds the noise and writes the bytes, (32, 32, 3).
void Drawing::store(std::uint8_t* image) {
  const int noise = between(2, 18);  // standard deviation in levels
  for (const int level : level_) {
    // The sum of a word's four bytes is nearly normal, with the mean 510 and the standard deviation 147.8.
    const std::uint32_t word = random_.next();
    const int sum = static_cast<int>((word & 255u) + ((word >> 8) & 255u) + ((word >> 16) & 255u) + (word >> 24));
    *image++ = static_cast<std::uint8_t>(std::clamp((level + (sum - 510) * noise * 16 / 148) / 16, 0, 255));
  }
}

}  // namespace

const std::vector<std::string>& synthetic_class_names() {
  static const std::vector<std::string> names{"circle", "square",   "triangle", "cross",        "ring",
                                              "star",   "crescent", "stripes",  "checkerboard", "dots"};
  return names;
}

Dataset make_synthetic_dataset(std::uint64_t seed, const std::string& split, std::int64_t count) {
  check(split == "train" || split == "test", "synthetic dataset: expected the split train or test, got '{}'", split);
  check(count >= 1 && count <= kMaxImages, "synthetic dataset: expected 1 to {} images, got {}", kMaxImages, count);
  const std::uint32_t first = split == "test" ? kTestSubstreams : 0;
  Dataset dataset;
  dataset.name = "synthetic";
  dataset.split = split;
  dataset.count = count;
  dataset.classes = kClasses;
  dataset.class_names = synthetic_class_names();
  dataset.images.resize(static_cast<std::size_t>(count * kImageBytes));
  dataset.labels.resize(static_cast<std::size_t>(count));
  std::array<std::int32_t, kClasses> order{};
  for (std::int64_t i = 0; i < count; ++i) {
    const auto slot = static_cast<std::size_t>(i % kClasses);
    if (slot == 0) {
      PhiloxSequence random(seed, RandomStream::kSyntheticDataset,
                            kLabelSubstreams + first + static_cast<std::uint32_t>(i / kClasses));
      for (std::size_t c = 0; c < order.size(); ++c) order[c] = static_cast<std::int32_t>(c);
      for (std::uint32_t c = kClasses - 1; c > 0; --c) std::swap(order[c], order[random.below(c + 1)]);
    }
    dataset.labels[static_cast<std::size_t>(i)] = order[slot];
    Drawing drawing(PhiloxSequence(seed, RandomStream::kSyntheticDataset, first + static_cast<std::uint32_t>(i)));
    drawing.draw(static_cast<Form>(order[slot]));
    drawing.store(dataset.images.data() + i * kImageBytes);
  }
  return dataset;
}

}  // namespace gradamp
