# Synthesises the pipeline out of context and reports its resources and its timing:
#
#     vivado -mode batch -source synth.tcl
#     vivado -mode batch -source synth.tcl -tclargs place
#
# The second command also places the design, which gives the congestion and a better estimate of the clock. Reports and
# checkpoints go to the folder "reports" next to this script.

set here [file dirname [file normalize [info script]]]
set reports [file join $here reports]
file mkdir $reports

set_part @{part}
read_verilog [lsort [glob [file join $here rtl *.v]]]
read_xdc -mode out_of_context [file join $here constraints @{constraints}]

# The define selects the DSP48E2 primitives. Without it, their behavioural twins would be synthesised. The design is out
# of context: its ports are streams inside a larger design, not pins.
synth_design -top @{top} -part @{part} -mode out_of_context -verilog_define @{define}

report_utilization -hierarchical -file [file join $reports utilization_hierarchical.rpt]
report_utilization -file [file join $reports utilization.rpt]
report_timing_summary -file [file join $reports timing.rpt]
report_ram_utilization -file [file join $reports ram.rpt]
write_checkpoint -force [file join $reports @{top}_synthesised.dcp]

if {"place" in $argv} {
    opt_design
    place_design
    report_utilization -slr -file [file join $reports utilization_slr_placed.rpt]
    report_timing_summary -file [file join $reports timing_placed.rpt]
    report_design_analysis -congestion -complexity -file [file join $reports congestion_placed.rpt]
    write_checkpoint -force [file join $reports @{top}_placed.dcp]
}
