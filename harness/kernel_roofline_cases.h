// The problems that `rattn roofline --kernels` estimates, and figures that
// others have published for some of them.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "harness/kernel_roofline.h"
#include "harness/verb_roofline_kernels.h"

namespace rattn {

struct KernelPoint {
  std::string variant;
  std::optional<int64_t> window_keys;
  std::string phase;  // "forward" or "train"
  Problem problem;
  std::string skipped;  // why there is no estimate; empty: there is one
  KernelEstimate estimate;
};

// Every combination of the flags' lists but for hardware. Throws UserError.
std::vector<KernelPoint> KernelPoints(const KernelRooflineFlags& flags);
// Fills in `estimate` or `skipped`.
void EstimateOn(const Hardware& hardware, const CompiledKernels& compiled,
                std::vector<KernelPoint>* points);

struct PublishedRow {
  int64_t context = 0, batch = 0;
  std::map<std::string, double> flops;  // by implementation, FLOP/s
};
struct PublishedFigures {
  std::string source;
  std::string hardware;  // name in configs/hardware
  // Others with the same multiprocessors and clocks: figures that no memory
  // bounds stand for them, too.
  std::vector<std::string> same_chip;
  std::string variant;
  int64_t query_heads = 0, head_dim = 0;
  std::vector<PublishedRow> rows;
};

// configs/published/NAME.json. Throws UserError.
PublishedFigures LoadPublished(const std::string& name);
// A published row as a problem of ours (forward, as many KV as query heads).
Problem ProblemOf(const PublishedFigures& published, const PublishedRow& row);

template <typename Visitor>
void VisitFields(Visitor& visit, PublishedRow& r) {
  visit.Required("context", r.context, "tokens of a sequence");
  visit.Required("batch", r.batch, "sequences");
  visit.Required("flops", r.flops, "FLOP/s by implementation");
}

template <typename Visitor>
void VisitFields(Visitor& visit, PublishedFigures& p) {
  visit.Required("source", p.source, "where they were published");
  visit.Required("hardware", p.hardware, "name in configs/hardware");
  visit.Optional("same_chip", p.same_chip,
                 "others with the same multiprocessors and clocks");
  visit.Required("variant", p.variant, "of the catalog");
  visit.Required("query_heads", p.query_heads, "query and KV heads");
  visit.Required("head_dim", p.head_dim, "dimension of a head");
  visit.Required("rows", p.rows, "the figures");
}

}  // namespace rattn
