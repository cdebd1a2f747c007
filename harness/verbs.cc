#include "harness/verbs.h"

#include <array>

#include "harness/verb_functions.h"

namespace rattn {

std::span<const Verb> Verbs() {
  static constexpr std::array kVerbs = {
      Verb{"doctor", "this machine: instruction sets, peaks, backends, data",
           "rattn doctor --peaks --write configs/hardware/here.json",
           AddDoctor},
      Verb{"list", "variants, backends, tasks, configs, models, hardware",
           "rattn list variants", AddList},
      Verb{"plan", "the cells of a sweep; nothing is run",
           "rattn plan quick --filter variant=swa,rattention --filter seed=0",
           AddPlan},
      Verb{"sweep", "runs a plan in child processes, resumes, reports",
           "rattn sweep quick --jobs 2", AddSweep},
      Verb{"bench", "checks and times kernels",
           "rattn bench --variant full,swa,rattention --window 512 --context "
           "8192 --phase forward",
           AddBench},
      Verb{"speed", "prompt and generation speed of a checkpoint from disk",
           "rattn speed --model smollm2-135m --window null,256 --prompt "
           "512,2048 --generate 128",
           AddSpeed},
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
      Verb{"compare", "runs of several machines side by side",
           "rattn compare runs/laptop runs/server --out runs/both", AddCompare},
      Verb{"apply", "runs one mixer on tensors from a safetensors file",
           "rattn apply --variant rattention --window 512 --in X.safetensors "
           "--out Y.safetensors --phase train",
           AddApply},
      Verb{"train", "trains a model on a task",
           "rattn train --model tiny-recall --task two_hop --variant "
           "rattention --window 4 --steps 200 --checkpoint model.safetensors",
           AddTrain},
      Verb{"eval", "scores a model on tasks, a checkpoint from disk too",
           "rattn eval --model tiny-recall --task two_hop --variant rattention "
           "--window 4 --steps 200 --length 56,112",
           AddEval},
      Verb{"ruler", "writes RULER's data files, scores prediction files",
           "rattn ruler --mode official --tasks niah_single_2,vt --lengths "
           "4096,8192 --tokenizer MODEL --data DATA --out ruler",
           AddRuler},
      Verb{"generate", "continues a prompt with a trained model",
           "rattn generate --checkpoint model.safetensors --tokens 1,2,3",
           AddGenerate},
      Verb{"tokenize", "ids and pieces of a text, and the way back",
           "rattn tokenize --tokenizer models/gemma --text 'Hello world'",
           AddTokenize},
      Verb{"cell", "runs the cells of a job; started by sweep and bench",
           "rattn cell --out FILE --products DIR <JOB", AddCell,
           /*hidden=*/true},
  };
  return kVerbs;
}

}  // namespace rattn
