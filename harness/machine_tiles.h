// Tile sizes that `rattn bench --tune` found to be better on this machine, in
// the user's cache folder: one file per processor, instruction set and number
// of threads. Kernels read no files; whoever starts them loads the sizes here.
#pragma once

#include <string>

#include "kernels/cpu/tile_sizes.h"
#include "models/json_fields.h"

namespace rattn {

template <typename Visitor>
void VisitFields(Visitor& visit, TileSizes& s) {
  visit.Optional("forward_rows", s.forward_rows, "rows of a query block");
  visit.Optional("backward_rows", s.backward_rows, "the same, backward");
  visit.Optional("chunk", s.chunk, "tokens of a linear-attention chunk");
  visit.Optional("state_every", s.state_every, "chunks between kept states");
}

// What tile sizes are tuned for.
struct TunedMachine {
  int64_t schema = 1;
  std::string cpu, isa;
  int64_t threads = 0;
  MachineTileSizes sizes;
};

template <typename Visitor>
void VisitFields(Visitor& visit, TunedMachine& m) {
  visit.Required("schema", m.schema, "version of this file");
  visit.Required("cpu", m.cpu, "processor, as the system names it");
  visit.Required("isa", m.isa, "instruction set that the kernels ran on");
  visit.Required("threads", m.threads, "threads");
  visit.Required("vectors", m.sizes.vectors, "passes on vectors; 0 = default");
  visit.Required("tiles", m.sizes.tiles, "passes on tiles; 0 = default");
}

// This machine, without sizes.
TunedMachine ThisMachine();

// <cache>/tiles-<hash of the machine>.json. Throws UserError where there is no
// cache folder.
std::string MachineTilesPath(const TunedMachine& machine);

// Throws UserError for a file that is damaged, has impossible sizes or is of
// another machine.
MachineTileSizes ReadMachineTiles(const std::string& path,
                                  const TunedMachine& machine);
// Throws RunError or UserError.
void WriteMachineTiles(const std::string& path, const TunedMachine& machine);

// Hands the sizes of this machine to the kernels, if it has any. A file that
// cannot be used is one warning line (unless `quiet`), and no sizes.
void LoadMachineTiles(bool quiet);

// {"vectors", "tiles"} as used by this process, null where nothing was tuned.
Json MachineTilesFacts();

}  // namespace rattn
