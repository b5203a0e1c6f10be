# The program alone, as nobody in particular. Build the binary before: make build.
FROM scratch
COPY bin/matchyard /matchyard
USER 65532:65532
EXPOSE 9170/tcp 9171/tcp 7770/udp
VOLUME /data
ENV MATCHYARD_LISTEN=0.0.0.0:9170 MATCHYARD_ADMIN=0.0.0.0:9171 MATCHYARD_DATA=/data
ENTRYPOINT ["/matchyard"]
CMD ["serve"]
