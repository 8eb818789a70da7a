# Packages the kernel @{kernel} as an IP in the folder build/ip. gen_xo.tcl sources this script.

set here [file dirname [file normalize [info script]]]
set build [file join $here build]
set ip [file join $build ip]
file mkdir $build
file delete -force $ip

# Each AXI4 master, with what the interconnect may know of it.
set masters {
@{masters}
}

# Each control register: its name, address, bits, access, the master to whose buffer it points, and what it is.
set registers {
@{registers}
}

# The interface of a name; an error if the packager has not found it in the ports of the Verilog.
proc interface {name core} {
    set found [ipx::get_bus_interfaces $name -of_objects $core]
    if {$found eq ""} {
        error "the packager found no bus interface $name in the ports of @{kernel}"
    }
    return $found
}

# Sets a parameter of an interface.
proc set_parameter {interface name value} {
    set parameter [ipx::get_bus_parameters $name -of_objects $interface]
    if {$parameter eq ""} {
        set parameter [ipx::add_bus_parameter $name $interface]
    }
    set_property value $value $parameter
    return $parameter
}

create_project -force package [file join $build package] -part @{part}
add_files -norecurse [lsort [glob [file join $here rtl *.v]]]
add_files -fileset constrs_1 -norecurse [list [file join $here constraints kernel_ooc.xdc]]
set_property USED_IN {out_of_context synthesis implementation} [get_files kernel_ooc.xdc]
set_property top @{kernel} [get_filesets sources_1]
update_compile_order -fileset sources_1

ipx::package_project -root_dir $ip -vendor @{vendor} -library @{library} -taxonomy /KernelIP -import_files \
    -set_current true
set core [ipx::current_core]
set_property name @{kernel} $core
set_property version @{version} $core
set_property core_revision 1 $core
set_property description {@{kernel}, by @{vendor}} $core

# Clock, reset and interrupt. The packager knows them by the names of their ports; if not the interrupt, it is added.
if {[ipx::get_bus_interfaces @{interrupt} -of_objects $core] eq ""} {
    ipx::infer_bus_interface @{interrupt} xilinx.com:signal:interrupt_rtl:1.0 $core
}
set_parameter [interface @{interrupt} $core] SENSITIVITY LEVEL_HIGH
set_parameter [interface @{reset} $core] POLARITY ACTIVE_LOW
set frequency [set_parameter [interface @{clock} $core] FREQ_HZ @{clock_hz}]
set_property value_resolve_type user $frequency
ipx::associate_bus_interfaces -clock @{clock} -reset @{reset} $core

# The buses, all on the one clock.
foreach {name parameters} $masters {
    set master [interface $name $core]
    foreach {parameter value} $parameters {
        set_parameter $master $parameter $value
    }
    ipx::associate_bus_interfaces -busif $name -clock @{clock} $core
}
ipx::associate_bus_interfaces -busif @{control} -clock @{clock} $core

# The control registers.
set map [ipx::get_memory_maps @{control} -of_objects $core]
if {$map eq ""} {
    set map [ipx::add_memory_map @{control} $core]
}
set block [ipx::get_address_blocks reg0 -of_objects $map]
if {$block eq ""} {
    set block [ipx::add_address_block reg0 $map]
}
set_property range @{range} $block
set_property width 32 $block
foreach {name offset bits access bus about} $registers {
    set register [ipx::add_register $name $block]
    set_property address_offset $offset $register
    set_property size $bits $register
    set_property access $access $register
    set_property description $about $register
    if {$bus ne ""} {
        set_property value $bus [ipx::add_register_parameter ASSOCIATED_BUSIF $register]
    }
}
set_property slave_memory_map_ref @{control} [interface @{control} $core]

# What makes a kernel of the IP. Vivado's check of kernels demands the XPM libraries, though none is used.
set_property sdx_kernel true $core
set_property sdx_kernel_type rtl $core
set_property vitis_drc {ctrl_protocol @{protocol}} $core
set_property xpm_libraries {XPM_CDC XPM_MEMORY XPM_FIFO} $core
set_property supported_families {} $core
set_property auto_family_support_level level_2 $core
ipx::create_xgui_files $core
ipx::update_checksums $core
ipx::check_integrity -kernel $core
ipx::save_core $core
close_project
puts "@{kernel}: packaged in $ip"
