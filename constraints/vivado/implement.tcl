# Implements the pipeline out of context: synthesis, optimisation, placement, physical optimisation and routing.
#
#     vivado -mode batch -source implement.tcl
#     vivado -mode batch -source implement.tcl -tclargs synth
#
# The second command ends after the synthesis. Reports and checkpoints go to the folder "reports" next to this script.
# A line "slack" for setup and hold is printed after each step from the synthesis on; a design meets its clock if both
# numbers of the last line are not negative.

set here [file dirname [file normalize [info script]]]
set reports [file join $here reports]
file mkdir $reports

# Writes the checkpoint of a step, and the reports that every step has.
proc finish {step} {
    global reports
    write_checkpoint -force [file join $reports @{top}_$step.dcp]
    report_utilization -hierarchical -file [file join $reports utilization_$step.rpt]
    report_timing_summary -max_paths 20 -file [file join $reports timing_$step.rpt]
    report_high_fanout_nets -timing -load_types -max_nets 100 -file [file join $reports fanout_$step.rpt]
    report_methodology -file [file join $reports methodology_$step.rpt]
    set slacks {}
    foreach kind {-setup -hold} {
        lappend slacks [get_property SLACK [get_timing_paths -max_paths 1 $kind]]
    }
    puts "@{top} $step: slack [lindex $slacks 0] ns for setup, [lindex $slacks 1] ns for hold"
}

set_part @{part}
read_verilog [lsort [glob [file join $here rtl *.v]]]
read_xdc -mode out_of_context [list [file join $here constraints ooc.xdc]]

# The define selects the DSP48E2 primitives. Without it, their behavioural twins would be synthesised. The design is out
# of context: its ports are streams inside a larger design, not pins.
synth_design -top @{top} -part @{part} -mode out_of_context -verilog_define @{define}

# Out of context the clock has no buffer. Vivado estimates the delay and the skew of the clock from the site that is
# named here. It is one in the middle of the device, as the clock of a shell is driven from there.
set sites [get_sites -filter {SITE_TYPE == BUFGCE}]
set site [lindex $sites [expr {[llength $sites] / 2}]]
set_property HD.CLK_SRC [get_property NAME $site] [get_ports clk]

report_ram_utilization -file [file join $reports ram_synthesised.rpt]
finish synthesised
if {"synth" in $argv} {
    return
}

opt_design -directive Explore
place_design -directive Explore
report_utilization -slr -file [file join $reports utilization_slr_placed.rpt]
report_design_analysis -congestion -complexity -file [file join $reports congestion_placed.rpt]
finish placed

phys_opt_design -directive AggressiveExplore
finish optimised

route_design -directive Explore
report_route_status -file [file join $reports route_status.rpt]
report_drc -file [file join $reports drc.rpt]
report_clock_utilization -file [file join $reports clock_utilization.rpt]
report_high_fanout_nets -slr -clock_regions -max_nets 100 -file [file join $reports fanout_regions.rpt]
finish routed
