# Every measurement of the study, at any setting: `results/{study}/{measurement}/{setting}.zarr.zip`. Figures and
# claims ask for the settings that they need.


def measured_from(measurement):
    """A function of the wildcards: the inputs of a measurement at a setting."""
    return lambda wildcards: layout.measured_from(measurement, wildcards.setting)


for measurement in layout.catalogue.measurements.values():
    NETWORKS_NEEDED = needs_networks(measurement)

    rule:
        name:
            f"measure_{measurement.name}"
        input:
            unpack(measured_from(measurement)),
        output:
            layout.store(measurement.name, "{setting}"),
        log:
            f"{RESULTS}/logs/measure_{measurement.name}/{{setting}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/measure_{measurement.name}/{{setting}}.tsv"
        priority: urgency_of(measurement)
        localrule: not NETWORKS_NEEDED and not is_toy(measurement)
        threads: 1
        resources:
            **(GPU if NETWORKS_NEEDED else {}),
            mem_mb=growing(measurement.constant("MEMORY", 3000)),
            runtime=growing(measurement.constant("MINUTES", 60)),
        params:
            job=determinants.measurement(measurement),
        message:
            f"{measurement.summary}: {{wildcards.setting}}"
        script:
            "../../scripts/measure.py"
