#include "harness/verbs.h"

#include <array>

#include "harness/verb_functions.h"

namespace rattn {

std::span<const Verb> Verbs() {
  static constexpr std::array kVerbs = {
      Verb{"list", "variants, backends, tasks, configs, models, hardware",
           "rattn list variants", AddList},
      Verb{"mask", "what a query sees, in every window convention",
           "rattn mask --variant rattention --window 4 --length 12", AddMask},
  };
  return kVerbs;
}

}  // namespace rattn
