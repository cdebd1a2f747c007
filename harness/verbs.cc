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
      Verb{"memory", "bytes of keys, values and states of any model",
           "rattn memory rattention-12b --window 1024 --context 4096,32768",
           AddMemory},
      Verb{"roofline", "predicted time of a decoding step",
           "rattn roofline rattention-3b --window 512,1024 --batch 1,64,256",
           AddRoofline},
      Verb{"report", "plots, tables and findings of a run",
           "rattn report runs/quick", AddReport},
  };
  return kVerbs;
}

}  // namespace rattn
